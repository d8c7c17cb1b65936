"""`threshold`: the window that ends at a match holds enough matches."""

from datetime import timedelta
from uuid import uuid4

from app.services.rules.conditions.threshold import Threshold
from app.services.rules.episodes import Point
from tests.fakes import START

THRESHOLD = Threshold(type="threshold", count=3, window_minutes=5)


def points_at(*seconds: int, counted: int = 0) -> list[Point]:
    """Matches at these seconds; the first `counted` belong to an alert already."""
    alert_id = uuid4()
    return [
        Point(START + timedelta(seconds=second), f"SM{index}", index, None, alert_id if index < counted else None)
        for index, second in enumerate(seconds)
    ]


def test_it_opens_at_the_match_that_completes_the_count() -> None:
    assert THRESHOLD.opens(points_at(0, 60, 120, 180)) == [False, False, True, True]


def test_a_window_does_not_include_its_start() -> None:
    assert THRESHOLD.opens(points_at(0, 60, 299)) == [False, False, True]
    assert THRESHOLD.opens(points_at(0, 60, 300)) == [False, False, False]


def test_matches_of_one_second_are_in_each_others_windows() -> None:
    assert THRESHOLD.opens(points_at(0, 0, 0)) == [True, True, True]


def test_a_window_that_is_counted_already_does_not_open_another_alert() -> None:
    assert THRESHOLD.opens(points_at(0, 0, 0, counted=3)) == [False, False, False]
    assert THRESHOLD.opens(points_at(0, 0, 0, 60, counted=3)) == [False, False, False, True]


def test_windows_stay_full_until_the_oldest_of_the_last_matches_leaves() -> None:
    full = THRESHOLD.saturation(points_at(0, 60, 120))
    assert full.saturated_until(START + timedelta(seconds=119)) is None
    assert full.saturated_until(START + timedelta(seconds=120)) == START + timedelta(minutes=5)
    assert full.saturated_until(START + timedelta(hours=1)) == START + timedelta(minutes=5)


def test_with_a_lower_limit_windows_stay_full_until_fewer_are_left() -> None:
    lower = Threshold(type="threshold", count=3, window_minutes=5, resolve_count=2)
    full = lower.saturation(points_at(0, 60, 120))
    assert full.saturated_until(START + timedelta(seconds=120)) == START + timedelta(minutes=6)
    assert lower.opens(points_at(0, 60, 120)) == THRESHOLD.opens(points_at(0, 60, 120))
