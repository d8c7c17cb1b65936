"""How many processes a worker has, look by look."""

import pytest

from app.tasks.elastic_pool import IDLE_SECONDS, RESTING, Demand

MOST = 5


def _looks(demand: Demand, *tasks: int, processes: int = RESTING, now: float = 0.0) -> list[int]:
    return [demand.change(count, processes, now) for count in tasks]


def test_tasks_that_wait_from_one_look_to_the_next_get_processes() -> None:
    assert _looks(Demand(MOST), 4, 4) == [0, 2]


def test_tasks_that_are_done_before_the_next_look_get_none() -> None:
    assert _looks(Demand(MOST), 5, 0, 5, 1, 5) == [0, 0, 0, 0, 0]


def test_there_are_never_more_than_asked_for() -> None:
    assert _looks(Demand(MOST), 20, 20) == [0, MOST - RESTING]
    assert _looks(Demand(MOST), 20, 20, processes=MOST) == [0, 0]
    assert _looks(Demand(1), 20, 20, processes=1) == [0, 0]


def test_those_that_are_no_longer_needed_stop_after_a_while() -> None:
    demand = Demand(MOST)
    _looks(demand, 5, 5)
    assert _looks(demand, 0, processes=MOST, now=IDLE_SECONDS - 1) == [0]
    assert _looks(demand, 0, processes=MOST, now=IDLE_SECONDS) == [RESTING - MOST]


@pytest.mark.parametrize("running", [1, 2, 3])
def test_none_stops_while_a_task_runs_which_might_be_its_own(running: int) -> None:
    demand = Demand(MOST)
    _looks(demand, 5, 5)
    assert _looks(demand, running, processes=MOST, now=10 * IDLE_SECONDS) == [0]


def test_work_that_comes_again_and_again_keeps_them() -> None:
    demand = Demand(MOST)
    _looks(demand, 5, 5)
    _looks(demand, 3, 3, processes=MOST, now=IDLE_SECONDS - 1)
    assert _looks(demand, 0, processes=MOST, now=IDLE_SECONDS + 1) == [0]
