"""How many processes a worker has, look by look."""

import pytest

from app.tasks.elastic_pool import IDLE_SECONDS, RESTING, Demand

MOST = 5


def _looks(demand: Demand, *tasks: int, processes: int = RESTING, now: float = 0.0) -> list[int]:
    return [demand.change(count, processes, now) for count in tasks]


def test_tasks_that_wait_from_one_look_to_the_next_get_a_process() -> None:
    assert _looks(Demand(MOST), 4, 4) == [0, 1]


def test_they_get_another_one_while_they_wait_for_those_that_there_are() -> None:
    demand = Demand(MOST)
    _looks(demand, 4, 4)
    assert _looks(demand, 4, processes=RESTING + 1) == [1]
    assert _looks(demand, 4, 4, processes=4) == [0, 0]


def test_a_task_that_waits_only_now_gets_none() -> None:
    assert _looks(Demand(MOST), 1, 2, 1, 2, processes=1) == [0, 0, 0, 0]


def test_tasks_that_are_done_before_the_next_look_get_none() -> None:
    assert _looks(Demand(MOST), 5, 0, 5, 1, 5) == [0, 0, 0, 0, 0]


def test_there_are_never_more_than_asked_for() -> None:
    assert _looks(Demand(MOST), 20, 20, processes=MOST) == [0, 0]
    assert _looks(Demand(MOST), 20, 20, processes=MOST - 1) == [0, 1]
    assert _looks(Demand(1), 20, 20, processes=1) == [0, 0]


def test_those_that_are_no_longer_needed_stop_after_a_while() -> None:
    demand = Demand(MOST)
    _looks(demand, 5, 5)
    assert _looks(demand, 0, processes=MOST, now=IDLE_SECONDS - 1) == [0]
    assert _looks(demand, 0, processes=MOST, now=IDLE_SECONDS) == [-1]
    assert _looks(demand, 0, processes=RESTING + 1, now=IDLE_SECONDS) == [-1]
    assert _looks(demand, 0, processes=RESTING, now=IDLE_SECONDS) == [0]


@pytest.mark.parametrize("running", [1, 2, 3])
def test_none_stops_while_a_task_runs_which_might_be_its_own(running: int) -> None:
    demand = Demand(MOST)
    _looks(demand, 5, 5)
    assert _looks(demand, running, processes=MOST, now=10 * IDLE_SECONDS) == [0]


def test_work_that_comes_again_and_again_keeps_as_many_as_it_needs() -> None:
    demand = Demand(MOST)
    _looks(demand, 5, 5)
    _looks(demand, 3, 3, processes=4, now=IDLE_SECONDS - 1)
    assert _looks(demand, 0, processes=4, now=IDLE_SECONDS + 1) == [-1]
    _looks(demand, 3, 3, processes=3, now=IDLE_SECONDS + 2)
    assert _looks(demand, 0, processes=3, now=IDLE_SECONDS + 3) == [0]
