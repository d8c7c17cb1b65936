"""Reads the header `Retry-After`. Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 3600.0


def seconds(value: str | None, now: datetime) -> float | None:
    """Say how long a receiver asks to wait: whole seconds or a date, an hour at most; None where it cannot be read."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    wait = (at - now).total_seconds()
    return min(wait, LONGEST_SECONDS) if wait > 0 else None
