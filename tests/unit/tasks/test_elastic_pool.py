"""How many processes a worker has, look by look."""

import pytest

from app.tasks.elastic_pool import IDLE_SECONDS, MIN_PROCESSES, PoolSizer

MOST = 5


def _looks(sizer: PoolSizer, *tasks: int, processes: int = MIN_PROCESSES, now: float = 0.0) -> list[int]:
    return [sizer.step(count, processes, now) for count in tasks]


def test_tasks_that_wait_from_one_look_to_the_next_get_a_process() -> None:
    assert _looks(PoolSizer(MOST), 4, 4) == [0, 1]


def test_they_get_another_one_while_they_wait_for_those_that_there_are() -> None:
    sizer = PoolSizer(MOST)
    _looks(sizer, 4, 4)
    assert _looks(sizer, 4, processes=MIN_PROCESSES + 1) == [1]
    assert _looks(sizer, 4, 4, processes=4) == [0, 0]


def test_a_task_that_waits_only_now_gets_none() -> None:
    assert _looks(PoolSizer(MOST), 1, 2, 1, 2, processes=1) == [0, 0, 0, 0]


def test_tasks_that_are_done_before_the_next_look_get_none() -> None:
    assert _looks(PoolSizer(MOST), 5, 0, 5, 1, 5) == [0, 0, 0, 0, 0]


def test_there_are_never_more_than_asked_for() -> None:
    assert _looks(PoolSizer(MOST), 20, 20, processes=MOST) == [0, 0]
    assert _looks(PoolSizer(MOST), 20, 20, processes=MOST - 1) == [0, 1]
    assert _looks(PoolSizer(1), 20, 20, processes=1) == [0, 0]


def test_those_that_are_no_longer_needed_stop_after_a_while() -> None:
    sizer = PoolSizer(MOST)
    _looks(sizer, 5, 5)
    assert _looks(sizer, 0, processes=MOST, now=IDLE_SECONDS - 1) == [0]
    assert _looks(sizer, 0, processes=MOST, now=IDLE_SECONDS) == [-1]
    assert _looks(sizer, 0, processes=MIN_PROCESSES + 1, now=IDLE_SECONDS) == [-1]
    assert _looks(sizer, 0, processes=MIN_PROCESSES, now=IDLE_SECONDS) == [0]


@pytest.mark.parametrize("running", [1, 2, 3])
def test_none_stops_while_a_task_runs_which_might_be_its_own(running: int) -> None:
    sizer = PoolSizer(MOST)
    _looks(sizer, 5, 5)
    assert _looks(sizer, running, processes=MOST, now=10 * IDLE_SECONDS) == [0]


def test_work_that_comes_again_and_again_keeps_as_many_as_it_needs() -> None:
    sizer = PoolSizer(MOST)
    _looks(sizer, 5, 5)
    _looks(sizer, 3, 3, processes=4, now=IDLE_SECONDS - 1)
    assert _looks(sizer, 0, processes=4, now=IDLE_SECONDS + 1) == [-1]
    _looks(sizer, 3, 3, processes=3, now=IDLE_SECONDS + 2)
    assert _looks(sizer, 0, processes=3, now=IDLE_SECONDS + 3) == [0]
