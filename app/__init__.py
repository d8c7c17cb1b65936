"""GiftPulse: watches Twilio accounts and tells people and systems when something goes wrong."""

__version__ = "0.1.0"
