"""Addresses of records in Twilio's Console. Pure."""


def record_url(sid: str, account_sid: str) -> str | None:
    """Return the address of a record; None if its kind has no page. The prefix of the SID shows the kind."""
    kind = sid[:2]
    if kind in ("SM", "MM"):
        return f"https://www.twilio.com/console/sms/logs/{account_sid}/{sid}"
    if kind == "CA":
        return f"https://www.twilio.com/console/voice/calls/logs/{sid}"
    return f"https://www.twilio.com/console/runtime/debugger/{sid}" if kind == "NO" else None
