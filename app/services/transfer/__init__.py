"""Rules, actions and silences as one document: export and import."""
