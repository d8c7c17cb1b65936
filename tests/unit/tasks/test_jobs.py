"""Tasks share slots; none of them leaves work behind that another found no slot for."""

from collections.abc import Iterator

import pytest

from app.tasks import jobs, slots
from tests.kits.waiting import PATIENCE_SECONDS
from tests.unit.tasks.test_slots import fork


@pytest.fixture(autouse=True)
def few_slots() -> Iterator[None]:
    slots.prepare(slots.FEW_PROCESSES)
    yield
    slots.prepare()


def test_work_that_comes_as_another_task_finds_none_is_found() -> None:
    """Its task gets no slot; the one that holds the slot looks again, though it has found nothing before."""
    done: list[str] = []
    pending = ["first"]

    def work() -> bool:
        if pending:
            done.append(pending.pop())
            return True
        if not done[1:]:
            pending.append("second")
            second = fork.Process(target=jobs._repeat, args=("evaluate", _must_not_run, lambda: None))
            second.start()
            second.join(PATIENCE_SECONDS)
            assert second.exitcode == 0
        return False

    jobs._repeat("evaluate", work, lambda: None)
    assert done == ["first", "second"]


def _must_not_run() -> bool:
    pytest.fail("all slots are in use")
