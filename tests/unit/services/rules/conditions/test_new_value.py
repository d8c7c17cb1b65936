"""`new_value`: runs of a value are the same whatever the order in which its matches arrive."""

from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from app.services.rules.conditions.new_value import NewValue, ValueRun, add_run, is_new
from app.services.rules.episodes import Point
from tests.fakes import START

LOOKBACK = timedelta(days=30)


def run(first_day: int, last_day: int) -> ValueRun:
    return ValueRun(START + timedelta(days=first_day), START + timedelta(days=last_day))


def test_a_value_is_new_at_its_first_match_only() -> None:
    assert is_new([], START, LOOKBACK)
    assert is_new([run(0, 0)], START, LOOKBACK)
    assert not is_new([run(0, 0)], START + timedelta(seconds=1), LOOKBACK)


def test_a_value_is_new_again_once_the_lookback_is_over() -> None:
    assert not is_new([run(0, 5)], START + timedelta(days=35), LOOKBACK)
    assert is_new([run(0, 5)], START + timedelta(days=35, seconds=1), LOOKBACK)


def test_runs_within_the_lookback_join() -> None:
    assert add_run([run(0, 5)], run(35, 35), LOOKBACK) == [run(0, 35)]
    assert add_run([run(0, 5)], run(36, 36), LOOKBACK) == [run(0, 5), run(36, 36)]
    assert add_run([run(0, 0), run(50, 50)], run(25, 25), LOOKBACK) == [run(0, 50)]
    assert add_run([run(40, 41)], run(0, 0), LOOKBACK) == [run(0, 0), run(40, 41)]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=12))
def test_runs_do_not_depend_on_the_order_of_arrival(days: list[int]) -> None:
    runs: list[ValueRun] = []
    for day in days:
        runs = add_run(runs, run(day, day), LOOKBACK)
    again: list[ValueRun] = []
    for day in sorted(days, reverse=True):
        again = add_run(again, run(day, day), LOOKBACK)
    assert runs == again == sorted(runs)
    assert all(later.since_at - earlier.last_at > LOOKBACK for earlier, later in pairwise(runs))


def test_it_opens_at_a_new_value_that_is_not_counted_yet() -> None:
    points = [
        Point(START, "SM1", 1, 30003, new_value="30003"),
        Point(START, "SM2", 2, 30003, alert_id=uuid4(), new_value="30003"),
        Point(START, "SM3", 3, 30003),
    ]
    assert NewValue(type="new_value", field="error_code").opens(points) == [True, False, False]
