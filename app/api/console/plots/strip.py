"""A week as a strip: nights are darker, and each alert is a bar from its start to its end. Pure."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.api.console.plots.scale import percent_of
from app.utils.calendar_edges import to_zone

NIGHT_FROM, NIGHT_UNTIL = time(22), time(7)
MIN_WIDTH = 0.6
"""The minimum width of an alert, in percent, so that short ones are visible."""
DAY = timedelta(days=1)


class Part(NamedTuple):
    """A part of the strip, in percent of its width."""

    x: float
    width: float


def is_night(at: datetime, zone: ZoneInfo) -> bool:
    """Check whether a time is at night."""
    clock = to_zone(at, zone).time()
    return clock >= NIGHT_FROM or clock < NIGHT_UNTIL


def part(since: datetime, until: datetime, first: datetime, last: datetime, least: float = 0) -> Part:
    """Position a time span in the strip from `since` to `until`.

    Args:    least: the smallest width, in percent.
    """
    x = max(0.0, percent_of(first, since, until))
    width = max(least, min(100.0, percent_of(last, since, until)) - x)
    return Part(round(min(x, 100 - width), 3), round(width, 3))


def nights(since: datetime, until: datetime, zone: ZoneInfo) -> list[Part]:
    """Position the nights of a span."""
    found = []
    begin, end = to_zone(since, zone).toordinal() - 1, to_zone(until, zone).toordinal()
    for day in map(date.fromordinal, range(max(1, begin), min(end + 1, date.max.toordinal()))):
        first = datetime.combine(day, NIGHT_FROM, zone)
        last = datetime.combine(day + DAY, NIGHT_UNTIL, zone)
        if first < until and last > since:
            found.append(part(since, until, first, last))
    return found


def midnights(since: datetime, until: datetime, zone: ZoneInfo) -> Sequence[float]:
    """Position the midnights of a span."""
    days = range(to_zone(since, zone).toordinal() + 1, to_zone(until, zone).toordinal() + 1)
    starts = (datetime.combine(date.fromordinal(day), time(0), zone) for day in days)
    return [percent_of(at, since, until) for at in starts if at < until]
