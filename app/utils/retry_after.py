"""Parses the header `Retry-After`, including slightly nonstandard forms. Pure."""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_SECONDS = 3600
VALUES = re.compile(r",(?!\s*\d{1,2}[ -][A-Za-z]{3})")
"""The commas between values, not those within dates."""
SPAN = re.compile(r"\+?(\d{1,12})\d*(\.\d*)?\s*([a-z]*)\.?", re.IGNORECASE)
UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}


def parse_retry_after(value: str | None, now: datetime, sent_at: str | None = None) -> int | None:
    """Return the requested delay in seconds, at most an hour; None if it cannot be parsed.

    Args:
        value: seconds or a date, or several with commas; the longest delay counts.
        sent_at: the header `Date` of the same response: the server's clock.
    """
    if value is None or not value.isascii():
        return None
    clocks = [now, *([at] if (at := _date(sent_at or "")) else [])]
    waits = [wait for part in VALUES.split(value) if (wait := _wait(part.strip(" \t\"'"), clocks)) is not None]
    return min(max(waits), MAX_SECONDS) if waits else None


def _wait(text: str, clocks: list[datetime]) -> int | None:
    if span := SPAN.fullmatch(text):
        unit = UNITS.get(span[3].lower().removesuffix("s") or "s")
        return None if unit is None else math.ceil(float(span[1] + (span[2] or "")) * unit)
    at = _date(text)
    wait = math.ceil(max((at - clock).total_seconds() for clock in clocks)) if at else 0
    return wait if wait > 0 else None


def _date(text: str) -> datetime | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            at = read(text)
        except (ValueError, IndexError, TypeError, OverflowError):
            continue
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return None
