"""SVG paths in a plane of 1000 x 1000 that stretches to any width. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

PLANE = 1000
GAP = 0.22
"""The gap between two bars, as a share of a bucket."""
SPARK_UNITS, SPARK_HEIGHT = 4, 24
SPARK_BARS = 40
SPARK_MIN_TOP = 5
"""Keeps bars of one or two low."""


def bars(values: Sequence[float | None], top: float, base: Sequence[float | None] | None = None) -> str:
    """Draw all bars of a series as one path.

    Args:    top: value at the upper edge; higher bars are cut there. base: where each bar starts.
    """
    width = PLANE / max(len(values), 1)
    drawn = []
    for number, value in enumerate(values):
        if value:
            foot = (base[number] or 0) if base else 0
            low, high = (PLANE * (1 - min(level, top) / top) for level in (foot, foot + value))
            left = number * width + width * GAP / 2
            drawn.append(f"M{left:.1f} {low:.1f}V{high:.1f}h{width * (1 - GAP):.1f}V{low:.1f}z")
    return "".join(drawn)


def line(values: Sequence[float | None], top: float, floor: float = 0) -> str:
    """Draw a line. Unknown values are gaps, not zeros; a single value is a dash."""
    width = PLANE / max(len(values), 1)
    drawn: list[str] = []
    pen_is_down = False
    for number, value in enumerate(values):
        if value is None:
            pen_is_down = False
            continue
        y = PLANE * (1 - (min(max(value, floor), top) - floor) / (top - floor))
        if pen_is_down:
            drawn.append(f"L{(number + 0.5) * width:.1f} {y:.1f}")
        else:
            drawn.append(f"M{number * width:.1f} {y:.1f}H{(number + 0.5) * width:.1f}")
        pen_is_down = True
    return "".join(drawn)


class Spark(NamedTuple):
    """A small plot of bars."""

    width: int
    under: str
    """Path of the bars below the limit."""
    over: str
    """Path of the bars at or over it."""
    limit: float | None
    """Height of the limit line, from the top."""


def condense(values: Sequence[float | None]) -> list[float]:
    """Return at most `SPARK_BARS` bars, each with the highest of the values that it combines."""
    step = -(-len(values) // SPARK_BARS)
    return [max(value or 0 for value in values[start : start + step]) for start in range(0, len(values), step)]


def spark(values: Sequence[float], limit: float | None = None) -> Spark:
    """Draw a sparkline of bars."""
    top = max([*values, limit or 0, SPARK_MIN_TOP])

    def drawn(*, over: bool) -> str:
        return "".join(
            f"M{number * SPARK_UNITS + 2} {SPARK_HEIGHT}v{-max(1.5, (SPARK_HEIGHT - 1) * value / top):.1f}"
            for number, value in enumerate(values)
            if value and (limit is not None and value >= limit) == over
        )

    height = None if limit is None else round(SPARK_HEIGHT - (SPARK_HEIGHT - 1) * limit / top, 1)
    return Spark(len(values) * SPARK_UNITS, drawn(over=False), drawn(over=True), height)
