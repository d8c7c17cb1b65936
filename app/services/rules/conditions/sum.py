"""`sum`: what the matches of a window come to. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from app.services.rules.types import SumParams, Verdict

LOOKBACK = timedelta(hours=24)
"""Windows that ended so long ago are still looked at: prices come late."""
MINUTE = timedelta(minutes=1)


def breached_until(
    params: SumParams, minutes: Sequence[tuple[datetime, Decimal]], until: datetime, at: datetime
) -> datetime:
    """Return up to when the latest window stayed at the limit after an alert was ended by hand, minute by minute.

    What was reached meanwhile was the same trouble: it is told.
    """
    following = max(until, at - LOOKBACK).replace(second=0, microsecond=0) + MINUTE
    while following <= at and _latest_sum(params, minutes, following) >= Decimal(str(params.at_least)):
        until, following = following, following + MINUTE
    return until


def judge(
    params: SumParams,
    minutes: Sequence[tuple[datetime, Decimal]],
    alerted_spans: Sequence[tuple[datetime, datetime]],
    at: datetime,
    first: datetime,
) -> Verdict:
    """Judge one group at one minute.

    Args:
        minutes: (minute, amount) of the last day and one window more, oldest first; a minute is named by its end.
        alerted_spans: (from, to) of earlier alerts: windows that share time with them have been told.
        first: windows that ended before it are not looked at.
    Returns: `value` is the sum of the latest window; `window_ended_at` the end of the window that reached the limit.
    """
    window = timedelta(minutes=params.window_minutes)
    limit = Decimal(str(params.at_least))
    latest = _latest_sum(params, minutes, at)
    if latest >= limit:
        return Verdict(True, float(latest), window_ended_at=at)
    reached = None
    earliest = max(first, at - LOOKBACK + MINUTE)
    total, left, right = Decimal(0), 0, 0
    # A window is at its fullest where it ends with a minute that has something in it, or where windows begin to count.
    for end in sorted({max(minute, earliest) for minute, _ in minutes}):
        while right < len(minutes) and minutes[right][0] <= end:
            total += minutes[right][1]
            right += 1
        while left < right and minutes[left][0] <= end - window:
            total -= minutes[left][1]
            left += 1
        if end <= at and total >= limit and not _is_alerted(end - window, end, alerted_spans):
            reached = end
    if reached is None:
        return Verdict(False, float(latest))
    return Verdict(True, float(latest), window_ended_at=reached, is_past=True)


def _latest_sum(params: SumParams, minutes: Sequence[tuple[datetime, Decimal]], at: datetime) -> Decimal:
    since = at - timedelta(minutes=params.window_minutes)
    return sum((amount for minute, amount in minutes if since < minute <= at), Decimal(0))


def _is_alerted(
    window_from: datetime, window_until: datetime, alerted_spans: Sequence[tuple[datetime, datetime]]
) -> bool:
    return any(window_until > since and window_from < until for since, until in alerted_spans)
