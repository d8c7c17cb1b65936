"""The forms of Twilio's sids, as regular expressions."""

SID = r"^[A-Z]{2}[0-9a-f]{32}$"
ACCOUNT_SID = r"^AC[0-9a-f]{32}$"
KEY_SID = r"^SK[0-9a-fA-F]{32}$"
