"""Arithmetic that stays within the calendar, which ends with the years 1 and 9999. Pure.

People write 9999-12-31 for "for ever", which has no local time east of UTC.
"""

from datetime import UTC, datetime, timedelta, tzinfo

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


def to_zone(at: datetime, zone: tzinfo) -> datetime:
    """Return an aware time in a zone; beyond the calendar of that zone, its first or last moment."""
    try:
        return at.astimezone(zone)
    except OverflowError:
        edge = LATEST if at > datetime(5000, 1, 1, tzinfo=UTC) else EARLIEST
        return edge.replace(tzinfo=zone)


def shift(at: datetime, by: timedelta) -> datetime:
    """Add a duration; beyond the calendar, return its first or last moment."""
    try:
        return at + by
    except OverflowError:
        return (LATEST if by > timedelta(0) else EARLIEST).replace(tzinfo=at.tzinfo)
