"""Compares the hours of a span with the same hours of the weeks before. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from statistics import median

from app.services.fraud.queries import WEEK, WEEKS

HOUR = timedelta(hours=1)
SURGE_FACTOR = 5
BUSIEST_FACTOR = 2
"""An hour must have so many times what the busiest of the compared hours had: campaigns begin at other hours."""


@dataclass(frozen=True)
class Comparison:
    """A span beside the same hours of the weeks before. Values are numbers of logs, or amounts of money."""

    total: float
    usual: float | None
    """Median of the weeks; None where none of them is known."""
    hours: Sequence[tuple[datetime, float]]
    """The hours that have a value, in order."""
    peak_at: datetime | None
    """Start of the hour that rose the most; None without any."""
    peak: float
    peak_usual: float | None
    is_surge: bool


def compare(
    values: Mapping[datetime, float], since: datetime, until: datetime, known_from: datetime | None, least: float
) -> Comparison:
    """Compare a span with the weeks before.

    Args:
        values: by hour, of the span and the weeks before.
        since: a whole hour.
        known_from: when the known hours begin; weeks that begin before are left out.
        least: smaller values are never a surge.
    """
    shares = _shares(since, until)
    weeks = [week for week in range(1, WEEKS + 1) if known_from is not None and since - week * WEEK >= known_from]
    hours = [(hour, values[hour]) for hour in shares if values.get(hour)]
    total = sum(value for _, value in hours)
    past = {week: {hour: shares[hour] * values.get(hour - week * WEEK, 0) for hour in shares} for week in weeks}
    usual = float(median(sum(each.values()) for each in past.values())) if weeks else None
    usual_at = {hour: float(median(each[hour] for each in past.values())) for hour, _ in hours} if weeks else {}
    peak_at = max(usual_at, key=lambda hour: values[hour] - SURGE_FACTOR * usual_at[hour], default=None)
    if peak_at is None:
        peak_at = max(hours, key=lambda each: each[1])[0] if hours else None
    peak = values[peak_at] if peak_at else 0
    peak_usual = usual_at.get(peak_at) if peak_at else None
    busiest = max((value for each in past.values() for value in each.values()), default=0)
    hour_rose = peak_usual is not None and peak >= BUSIEST_FACTOR * busiest and rose(peak, peak_usual, least)
    return Comparison(
        total, usual, hours, peak_at, peak, peak_usual, hour_rose or (usual is not None and rose(total, usual, least))
    )


def rose(value: float, usual: float, least: float) -> bool:
    """Return whether a value is large, and many times the usual one, which is taken as at least 1."""
    return value >= least and value >= SURGE_FACTOR * max(1.0, usual)


def _shares(since: datetime, until: datetime) -> dict[datetime, float]:
    """Return the hours of a span, and how much of each lies in it."""
    hours = [since + number * HOUR for number in range(ceil((until - since) / HOUR))]
    return {hour: min(1.0, (until - hour) / HOUR) for hour in hours}
