"""`sum`: what the matches of a window come to, in each unit by itself. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from app.services.rules.types import LogVersion, SumParams, Verdict

LOOKBACK = timedelta(hours=24)
"""Windows that ended so long ago are still looked at: prices come late."""
MINUTE = timedelta(minutes=1)
UNKNOWN_UNIT = ""
"""Of what has no unit, of prices without a currency, and of what was counted before units were."""

MinuteAmounts = Sequence[tuple[datetime, Decimal]]
"""(minute, amount), oldest first; a minute is named by its end."""
Amounts = Mapping[str, MinuteAmounts]
"""Unit to its amounts. What has an unknown unit counts towards each of the others."""


def unit_of(params: SumParams, log: LogVersion) -> str:
    """Return the unit that the field of a log is in: the currency of a price."""
    return (log.price_unit or UNKNOWN_UNIT) if params.field == "price" else UNKNOWN_UNIT


def by_known_unit(amounts: Amounts) -> Amounts:
    """Add what has an unknown unit to each of the known units; where none is known it stays by itself."""
    unknown = amounts.get(UNKNOWN_UNIT)
    if not unknown or len(amounts) == 1:
        return amounts
    return {unit: sorted([*found, *unknown]) for unit, found in amounts.items() if unit != UNKNOWN_UNIT}


def breached_until(params: SumParams, amounts: Amounts, until: datetime, at: datetime) -> datetime:
    """Return up to when the latest window stayed at the limit after an alert was ended by hand, minute by minute.

    What was reached meanwhile was the same trouble: it is told.
    """
    units = by_known_unit(amounts)
    following = max(until, at - LOOKBACK).replace(second=0, microsecond=0) + MINUTE
    while following <= at and any(_latest_sum(params, each, following) >= _limit(params) for each in units.values()):
        until, following = following, following + MINUTE
    return until


def judge(
    params: SumParams,
    amounts: Amounts,
    alerted_spans: Sequence[tuple[datetime, datetime]],
    at: datetime,
    first: datetime,
    alert_unit: str | None = None,
) -> Verdict:
    """Judge one group at one minute: it holds where the sum of any one unit does.

    Args:
        amounts: of the last day and one window more.
        alerted_spans: (from, to) of earlier alerts: windows that share time with them have been told.
        first: windows that ended before it are not looked at.
        alert_unit: the unit that the open alert names.
    Returns: `value` is the sum of the latest window; `window_ended_at` the end of the window that reached the limit;
        `unit` whose they are, where there are several.
    """
    units = by_known_unit(amounts)
    sums = {unit: _latest_sum(params, found, at) for unit, found in units.items()}
    unit = _unit_to_tell(sums, alert_unit, _limit(params))
    latest = sums.get(unit, Decimal(0))
    if latest >= _limit(params):
        return Verdict(True, float(latest), window_ended_at=at, unit=_if_several(unit, units))
    past = [
        (reached, sums[unit], unit)
        for unit, found in units.items()
        if (reached := _reached_before(params, found, alerted_spans, at, first)) is not None
    ]
    if past:
        reached, latest, unit = max(past)
        return Verdict(True, float(latest), window_ended_at=reached, is_past=True, unit=_if_several(unit, units))
    return Verdict(False, float(latest), unit=_if_several(unit, units))


def _unit_to_tell(sums: Mapping[str, Decimal], alert_unit: str | None, limit: Decimal) -> str:
    """Return the unit whose sum is told: that of the alert, unless another reaches the limit and it does not."""
    largest = max(sums, key=lambda unit: (sums[unit], unit), default=UNKNOWN_UNIT)
    if alert_unit is None or sums.get(largest, 0) >= limit > sums.get(alert_unit, 0):
        return largest
    return alert_unit


def _if_several(unit: str, units: Amounts) -> str | None:
    return unit if len(units) > 1 else None


def _reached_before(
    params: SumParams,
    minutes: MinuteAmounts,
    alerted_spans: Sequence[tuple[datetime, datetime]],
    at: datetime,
    first: datetime,
) -> datetime | None:
    """Return the end of the latest window of the last day that reached the limit and has not been told."""
    window, limit = timedelta(minutes=params.window_minutes), _limit(params)
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
    return reached


def _limit(params: SumParams) -> Decimal:
    return Decimal(str(params.at_least))


def _latest_sum(params: SumParams, minutes: MinuteAmounts, at: datetime) -> Decimal:
    since = at - timedelta(minutes=params.window_minutes)
    return sum((amount for minute, amount in minutes if since < minute <= at), Decimal(0))


def _is_alerted(
    window_from: datetime, window_until: datetime, alerted_spans: Sequence[tuple[datetime, datetime]]
) -> bool:
    return any(window_until > since and window_from < until for since, until in alerted_spans)
