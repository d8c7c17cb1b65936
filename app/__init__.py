"""GiftPulse: watches Twilio accounts and tells people and systems when something goes wrong."""

from app.utils.optional_imports import skip_unused

__version__ = "0.1.0"

skip_unused()
