"""Rules: which logs match, and when matches become an alert."""
