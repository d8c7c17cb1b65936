"""Ages, such as 30d, 12h or 90m. Pure."""

import re
from datetime import timedelta

PATTERN = r"[0-9]{1,6}[mhdw]"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_age(text: str) -> timedelta | None:
    """Parse an age; None if the text is none."""
    if re.fullmatch(PATTERN, text) is None:
        return None
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
