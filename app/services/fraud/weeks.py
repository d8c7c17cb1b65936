"""Compares the hours of a span with the same hours of the weeks before. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from statistics import median

from app.services.fraud.queries import DAY, WEEK, WEEKS
from app.services.logs.tallies import hour_start

HOUR = timedelta(hours=1)
SURGE_FACTOR = 5
BUSIEST_FACTOR = 2
"""An hour must have this many times the busiest compared hour: campaigns may move to other hours."""
STEADY_SHARE = 1 / 3
"""Traffic in a larger share of the day's hours is no burst."""


@dataclass(frozen=True)
class Hours:
    """Values by the start of their hour: numbers of logs, or amounts of money."""

    now: dict[datetime, float]
    """Within the span; its first and last hour may be partial."""
    past: dict[datetime, float]
    """Before the span."""

    def set(self, hour: datetime, value: float, *, is_now: bool) -> None:
        """Set the value of an hour, or of its part within or before the span."""
        (self.now if is_now else self.past)[hour] = value


@dataclass(frozen=True)
class Comparison:
    """A span beside the same hours of the weeks before."""

    total: float
    usual: float | None
    """The median of the weeks; None if no week is known."""
    hours: Sequence[tuple[datetime, float]]
    """The hours that have a value, in order."""
    peak_at: datetime | None
    """The start of the hour that rose the most; None without any."""
    peak: float
    peak_usual: float | None
    busiest: float | None
    """The highest whole hour of the weeks; None if no week is known."""
    is_surge: bool


def compare(values: Hours, since: datetime, until: datetime, known_from: datetime | None, least: float) -> Comparison:
    """Compare a span with the weeks before.

    Args:
        known_from: the start of the known hours; weeks that start earlier are left out.
        least: smaller values are never a surge.
    """
    shares = _shares(since, until)
    weeks = [week for week in range(1, WEEKS + 1) if known_from is not None and since - week * WEEK >= known_from]
    hours = [(hour, values.now[hour]) for hour in shares if values.now.get(hour)]
    total = sum(value for _, value in hours)
    whole = [{hour: values.past.get(hour - week * WEEK, 0) for hour in shares} for week in weeks]
    past = [{hour: shares[hour] * value for hour, value in each.items()} for each in whole]
    usual = float(median(sum(each.values()) for each in past)) if weeks else None
    usual_at = {hour: float(median(each[hour] for each in past)) for hour, _ in hours} if weeks else {}
    peak_at = max(usual_at, key=lambda hour: values.now[hour] - SURGE_FACTOR * usual_at[hour], default=None)
    if peak_at is None:
        peak_at = max(hours, key=lambda each: each[1])[0] if hours else None
    peak = values.now[peak_at] if peak_at else 0
    peak_usual = usual_at.get(peak_at) if peak_at else None
    busiest = max((value for each in whole for value in each.values()), default=None)
    hour_rose = peak_usual is not None and peak >= BUSIEST_FACTOR * (busiest or 0) and rose(peak, peak_usual, least)
    is_surge = hour_rose or (usual is not None and rose(total, usual, least))
    return Comparison(total, usual, hours, peak_at, peak, peak_usual, busiest, is_surge)


def rose(value: float, usual: float, least: float) -> bool:
    """Return whether a value is large, and many times the usual one, which is taken as at least 1."""
    return value >= least and value >= SURGE_FACTOR * max(1.0, usual)


def is_burst(values: Hours, until: datetime, known_from: datetime | None) -> bool:
    """Return whether the last day has values in few of its hours. Used if no week before is known."""
    since = max(until - DAY, known_from or until - DAY)
    hours = [hour for hour in _shares(since, until) if values.now.get(hour) or values.past.get(hour)]
    return len(hours) <= STEADY_SHARE * max(1, (until - since) / HOUR)


def _shares(since: datetime, until: datetime) -> dict[datetime, float]:
    """Return the hours of a span, with the share of each that lies in it."""
    first = hour_start(since)
    hours = [first + number * HOUR for number in range(ceil((until - first) / HOUR))]
    return {hour: (min(hour + HOUR, until) - max(hour, since)) / HOUR for hour in hours}
