"""`threshold`: so many matches within one window that ends at a match. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import timedelta

from app.services.rules.episodes import Point, WindowSaturation
from app.services.rules.types import ThresholdParams


def opens(params: ThresholdParams, points: Sequence[Point]) -> list[bool]:
    """Say for each match whether the window (at - window, at] that ends at it holds enough.

    Args:    points: sorted; for every match that is asked about, all those of its window.
    Returns: False for a match all of whose window counts already: what it tells has been told.
    """
    window = timedelta(minutes=params.window_minutes)
    times = [point.at for point in points]
    answers = []
    left = uncounted = 0
    for index, point in enumerate(points):
        uncounted += not point.counted
        while times[left] <= point.at - window:
            uncounted -= not points[left].counted
            left += 1
        # Matches of the same second are in each other's windows, those that sort behind this one too.
        in_window = bisect_right(times, point.at, lo=index) - left
        answers.append(in_window >= params.count and uncounted > 0)
    return answers


def saturation(params: ThresholdParams, points: Sequence[Point]) -> WindowSaturation:
    """Say until when windows stay too full for the alert to be over.

    Args:    points: sorted, at least the newest `resolves_below` of the group.
    """
    times = [point.at for point in points]
    return WindowSaturation(times, params.resolves_below, timedelta(minutes=params.window_minutes))
