"""Rules, actions and silences as one document, out and in."""
