"""The buckets of a series: their length, and in which of them an alert was open. Pure."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

BUCKETS = 200
"""The most points of a series."""
BUCKET_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)


def bucket_of(span: timedelta) -> timedelta:
    """Return the shortest bucket that splits a span into at most `BUCKETS` buckets."""
    return next(
        (timedelta(minutes=minutes) for minutes in BUCKET_MINUTES if span <= BUCKETS * timedelta(minutes=minutes)),
        timedelta(days=1),
    )


def starts_of(since: datetime, until: datetime) -> list[datetime]:
    """Split [since, until) into buckets, each named by its start."""
    bucket = bucket_of(until - since)
    return [since + number * bucket for number in range(-(-(until - since) // bucket))]


def firing(alerts: Iterable[tuple[datetime, datetime | None]], starts: list[datetime], until: datetime) -> list[bool]:
    """Return for each bucket whether an alert was open.

    Args:    alerts: when each started and was resolved; None for an open one.
    """
    changes: Counter[int] = Counter()
    for started_at, resolved_at in alerts:
        changes[max(0, bisect_right(starts, started_at) - 1)] += 1
        changes[bisect_right(starts, resolved_at or until)] -= 1
    found, open_count = [], 0
    for number in range(len(starts)):
        open_count += changes[number]
        found.append(open_count > 0)
    return found
