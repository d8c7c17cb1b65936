"""Scales and axes: round tops, grid lines, and ticks in the viewer's zone. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import floor, log10
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.utils.calendar_edges import shift, to_zone

ROUND_TOPS = ((1, 0.5), (1.5, 0.5), (2, 1), (3, 1), (4, 2), (5, 2.5), (6, 2), (8, 4), (10, 5))
"""Tops of an axis within a power of ten, each with the step of its grid: two to four lines."""
WHOLE_TOPS = ((1, 1), (2, 1), (3, 1), (4, 2), (6, 2), (8, 4), (10, 5))
"""The same from one to ten: most plots count, and there is no half a log."""
GRID_GIVES_WAY = 9.0
"""A grid line nearer to the limit than this, in percent of the height, is not drawn."""
EDGES = (2.0, 97.0)
"""Ticks nearer to the edges than this, in percent of the width, are omitted: their labels would be cut."""
STEPS: tuple[tuple[timedelta, timedelta, str], ...] = (
    (timedelta(minutes=12), timedelta(minutes=2), "{at:%H:%M}"),
    (timedelta(hours=1), timedelta(minutes=10), "{at:%H:%M}"),
    (timedelta(hours=3), timedelta(minutes=15), "{at:%H:%M}"),
    (timedelta(hours=36), timedelta(hours=3), "{at:%H:%M}"),
    (timedelta(days=9), timedelta(days=1), "{at:%a} {at.day}"),
    (timedelta(days=40), timedelta(days=5), "{at.day} {at:%b}"),
    (timedelta(days=3660), timedelta(days=14), "{at.day} {at:%b}"),
)
"""Up to which span, the step between ticks, and the form of their labels."""


class Line(NamedTuple):
    """A horizontal line."""

    y: float
    """Percent from the top."""
    label: str
    kind: str
    """`grid`, `limit` or `limit lower`, below which an alert resolves."""


class Tick(NamedTuple):
    """A label of the time axis."""

    x: float
    """Percent from the left."""
    label: str
    minor: bool
    """Hidden in narrow plots."""


def round_top(value: float) -> tuple[float, float]:
    """Round the highest value up to a round number.

    Returns: the top of the axis, and the step of its grid.
    """
    if value <= 0:
        return 1.0, 1.0
    scale = 10.0 ** floor(log10(value))
    for top, step in WHOLE_TOPS if scale == 1 else ROUND_TOPS:
        if value <= top * scale * (1 + 1e-9):
            return top * scale, step * scale
    return 20 * scale, 10 * scale


def percent_of(at: datetime, since: datetime, until: datetime) -> float:
    """Return the position of a moment in a span, in percent."""
    return round(100 * ((at - since) / (until - since)), 3)


def grid(
    top: float, step: float, unit: str = "", floor_value: float = 0, limits: Sequence[tuple[float, str]] = ()
) -> list[Line]:
    """Draw the lines of the grid, and limits with their own figures.

    Args:    unit: written behind each figure; floor_value: the value at the bottom; limits: values and their kinds.
    """
    height = top - floor_value
    count = int(height / step + 1e-9)
    values = [floor_value + number * step for number in range(1, count + 1)]
    lines = [
        Line(round(100 * (1 - (value - floor_value) / height), 2), f"{value:,.6g}{unit}", "grid") for value in values
    ]
    for value, kind in limits:
        y = round(100 * (1 - (value - floor_value) / height), 2)
        near = [line for line in lines if abs(line.y - y) <= GRID_GIVES_WAY]
        lines = [line for line in lines if line.kind != "grid" or line not in near]
        # Two figures on top of each other cannot be read; the legend has both.
        is_free = all(line.kind == "grid" for line in near)
        lines.append(Line(y, f"{value:,.6g}{unit}" if is_free else "", kind))
    return lines


def ticks(since: datetime, until: datetime, zone: ZoneInfo) -> list[Tick]:
    """Set ticks at whole hours or midnights of the zone. Steps are local: a day of 23 hours has its midnights, too."""
    _, step, form = next((row for row in STEPS if until - since <= row[0]), STEPS[-1])
    at = to_zone(since, zone).replace(minute=0, second=0, microsecond=0)
    if step >= timedelta(hours=3):
        at = at.replace(hour=0)
    found: list[Tick] = []
    while at <= until:
        x = percent_of(at, since, until)
        if EDGES[0] <= x <= EDGES[1]:
            found.append(Tick(x, form.format(at=at), minor=len(found) % 2 == 1))
        if shift(at, step) - at < step:  # the calendar ends
            break
        at += step  # wall-clock arithmetic: aware times of one zone add in local time
    return found


def highest(series: Sequence[Sequence[float | None]]) -> float:
    """Return the highest value of stacked series."""
    return max((sum(value or 0 for value in values) for values in zip(*series, strict=True)), default=0)
