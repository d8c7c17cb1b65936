"""`sum`: what the matches of a window come to. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from app.services.rules.types import SumParams, Verdict

REACH = timedelta(hours=24)
"""Windows that ended so long ago are still looked at: prices come late."""


def judge(
    params: SumParams,
    minutes: Sequence[tuple[datetime, Decimal]],
    told: Sequence[tuple[datetime, datetime]],
    at: datetime,
    first: datetime,
) -> Verdict:
    """Judge one group at one minute.

    Args:
        minutes: (minute, amount) of the last day and one window more, oldest first; a minute is named by its end.
        told: (from, to) of earlier alerts: windows that share time with them have been told.
        first: windows that ended before it are not looked at.
    Returns: `value` is the sum of the latest window; `window_ended_at` the end of the window that reached the limit.
    """
    window = timedelta(minutes=params.window_minutes)
    limit = Decimal(str(params.at_least))
    latest = sum((amount for minute, amount in minutes if at - window < minute <= at), Decimal(0))
    if latest >= limit:
        return Verdict(True, float(latest), window_ended_at=at)
    reached = None
    total, left = Decimal(0), 0
    for minute, amount in minutes:
        total += amount
        while minutes[left][0] <= minute - window:
            total -= minutes[left][1]
            left += 1
        # A window is at its fullest where it ends with a minute that has something in it.
        looked_at = max(first, at - REACH + timedelta(minutes=1)) <= minute <= at
        if looked_at and total >= limit and not _is_told(minute - window, minute, told):
            reached = minute
    if reached is None:
        return Verdict(False, float(latest))
    return Verdict(True, float(latest), window_ended_at=reached, passed=True)


def _is_told(window_from: datetime, window_until: datetime, told: Sequence[tuple[datetime, datetime]]) -> bool:
    return any(window_until > since and window_from < until for since, until in told)
