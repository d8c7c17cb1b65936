"""`spike`: many more matches than in the windows before."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from app.enums import ResolveReason
from app.services.rules.conditions.numbers import Numbers, Verdict, WindowCounts
from app.services.rules.conditions.spike import Spike
from tests.factories import RememberedAlert
from tests.fakes import START

SPIKE = Spike(type="spike", factor=2, window_minutes=15, baseline_windows=4, min_count=20)
USUAL = [50, 50, 50, 50]
"""The limit is 100."""


def numbers(matched: int, earlier: Sequence[int], known: int, alert: RememberedAlert | None, at: datetime) -> Numbers:
    """A window with so many matches, and those before it, of which the latest `known` are known whole."""
    windows = [matched, *earlier]
    known_from = at - (known + 1) * SPIKE.window if known else None
    return Numbers(at, at, lambda index: WindowCounts(windows[index], windows[index]), known_from, alert=alert)


def judge(
    matched: int, earlier: Sequence[int], baseline: float | None, opened_at: datetime | None, at: datetime
) -> Verdict:
    alert = RememberedAlert(opened_at, baseline) if opened_at else None
    return SPIKE.judge(numbers(matched, earlier, len(earlier), alert, at))


def test_it_fires_at_the_factor_times_the_median() -> None:
    assert judge(99, USUAL, None, None, START) == Verdict(False, 1.98, baseline=50.0)
    assert judge(100, USUAL, None, None, START) == Verdict(True, 2.0, baseline=50.0)


def test_it_needs_the_smallest_count_too() -> None:
    assert judge(19, [0] * 4, None, None, START).holds is False
    assert judge(20, [0] * 4, None, None, START) == Verdict(True, 20.0, baseline=1.0)


def test_an_open_alert_ends_below_four_fifths_of_the_limit() -> None:
    opened_at, now = START, START + timedelta(hours=1)
    assert judge(80, [], 50.0, opened_at, now) == Verdict(True, 1.6, baseline=50.0)
    assert judge(79, [], 50.0, opened_at, now) == Verdict(False, 1.58, baseline=50.0)


def test_the_baseline_of_an_open_alert_is_frozen() -> None:
    assert judge(100, [500] * 4, 50.0, START, START + timedelta(hours=1)).holds is True


def test_after_a_day_a_spike_is_the_new_normal() -> None:
    day = timedelta(hours=24)
    just_before = judge(100, [], 50.0, START, START + day - timedelta(minutes=1))
    after = judge(100, [], 50.0, START, START + day)
    assert just_before.holds is True
    assert (after.holds, after.reason) == (False, ResolveReason.NEW_NORMAL)


@pytest.mark.parametrize(
    ("earlier", "known", "baseline"),
    [
        ([10, 20, 30, 40], 4, 25.0),
        ([10, 30, 99, 99], 2, 20.0),
        ([10, 99, 99, 99], 1, None),
        ([0, 0, 0, 0], 4, 1.0),
        ([0, 0, 0, 0], 0, None),
    ],
)
def test_the_baseline_is_the_median_of_the_known_windows(
    earlier: list[int], known: int, baseline: float | None
) -> None:
    assert SPIKE.baseline(numbers(0, earlier, known, None, START)) == baseline


def test_nothing_can_be_said_without_a_baseline() -> None:
    assert SPIKE.judge(numbers(1000, [0] * 4, 0, None, START)) == Verdict(None, None)


@pytest.mark.parametrize("matched", [0, 19, 20, 99, 100, 101])
@pytest.mark.parametrize("known", range(5))
def test_requests_beyond_the_limits_are_rejected(matched: int, known: int) -> None:
    asked = numbers(matched, USUAL, known, None, START)
    assert SPIKE.may_hold(asked) or not SPIKE.judge(asked).holds
