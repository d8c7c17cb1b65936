"""Addresses of records in Twilio's Console. Pure."""

CONSOLE = "https://www.twilio.com/console"
_PATHS = {"SM": "sms/logs", "MM": "sms/logs", "CA": "voice/calls/logs", "NO": "runtime/debugger"}
"""The paths of records, by the prefix of the SID, which shows the kind."""


def record_url(sid: str, account_sid: str | None = None) -> str | None:
    """Return the address of a record; None if its kind has no page.

    Args:    account_sid: opens a message in its own account, such as a subaccount.
    """
    path = _PATHS.get(sid[:2])
    if path is None:
        return None
    if account_sid and path == "sms/logs":
        return f"{CONSOLE}/{path}/{account_sid}/{sid}"
    return f"{CONSOLE}/{path}/{sid}"


def console_url(sid: str, account_sid: str | None = None) -> str:
    """Return the address of a record, or of the Console if its kind has no page."""
    return record_url(sid, account_sid) or CONSOLE
