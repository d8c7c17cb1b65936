"""Ages, such as 30d, 12h or 90m, alone or where a time may stand. Pure."""

import re
from datetime import datetime, timedelta

PATTERN = r"[0-9]{1,6}[mhdw]"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_age(text: str) -> timedelta | None:
    """Parse an age; None if the text is none."""
    if re.fullmatch(PATTERN, text) is None:
        return None
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def read_time_or_age(text: str, now: datetime) -> datetime | None:
    """Parse a time in ISO 8601, which may lack a zone, or an age before now; None if the text is neither."""
    try:
        age = read_age(text)
        return datetime.fromisoformat(text) if age is None else now - age
    except (ValueError, OverflowError):
        return None
