"""`spike`: many more matches than in the windows before."""

from datetime import timedelta

import pytest

from app.enums import ResolveReason
from app.services.rules.conditions.spike import baseline_of, judge
from app.services.rules.types import SpikeParams, Verdict
from tests.fakes import START

PARAMS = SpikeParams(factor=2, window_minutes=15, baseline_windows=4, min_count=20)
USUAL = [50, 50, 50, 50]
"""The limit is 100."""


def test_it_fires_at_the_factor_times_the_median() -> None:
    assert judge(PARAMS, 99, USUAL, None, None, START) == Verdict(False, 1.98, baseline=50.0)
    assert judge(PARAMS, 100, USUAL, None, None, START) == Verdict(True, 2.0, baseline=50.0)


def test_it_needs_the_smallest_count_too() -> None:
    assert judge(PARAMS, 19, [0] * 4, None, None, START).holds is False
    assert judge(PARAMS, 20, [0] * 4, None, None, START) == Verdict(True, 20.0, baseline=1.0)


def test_an_open_alert_ends_below_four_fifths_of_the_limit() -> None:
    opened_at, now = START, START + timedelta(hours=1)
    assert judge(PARAMS, 80, [], 50.0, opened_at, now) == Verdict(True, 1.6, baseline=50.0)
    assert judge(PARAMS, 79, [], 50.0, opened_at, now) == Verdict(False, 1.58, baseline=50.0)


def test_the_baseline_of_an_open_alert_is_frozen() -> None:
    assert judge(PARAMS, 100, [500] * 4, 50.0, START, START + timedelta(hours=1)).holds is True


def test_after_a_day_a_spike_is_the_new_normal() -> None:
    day = timedelta(hours=24)
    just_before = judge(PARAMS, 100, [], 50.0, START, START + day - timedelta(minutes=1))
    after = judge(PARAMS, 100, [], 50.0, START, START + day)
    assert just_before.holds is True
    assert (after.holds, after.reason) == (False, ResolveReason.NEW_NORMAL)


@pytest.mark.parametrize(
    ("earlier", "baseline"),
    [
        ([10, 20, 30, 40], 25.0),
        ([10, None, 30, None], 20.0),
        ([10, None, None, None], None),
        ([0, 0, 0, 0], 1.0),
        ([], None),
    ],
)
def test_the_baseline_is_the_median_of_the_known_windows(earlier: list[int | None], baseline: float | None) -> None:
    assert baseline_of(PARAMS, earlier) == baseline


def test_nothing_can_be_said_without_a_baseline() -> None:
    assert judge(PARAMS, 1000, [None] * 4, None, None, START) == Verdict(None, None)
