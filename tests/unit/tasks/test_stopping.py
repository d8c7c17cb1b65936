"""A worker that is asked to stop begins nothing more."""

from collections.abc import Iterator

import pytest

from app.services.ingest.poll_run import OutOfTime, sleep_unless_stopping
from app.tasks import jobs, slots
from app.utils import stopping
from tests.kits.waiting import PATIENCE_SECONDS
from tests.unit.tasks.test_slots import fork


@pytest.fixture(autouse=True)
def asked() -> Iterator[None]:
    stopping.request()
    yield
    stopping.withdraw()


def test_no_work_begins() -> None:
    slots.prepare()

    def work() -> bool:
        pytest.fail("nothing may begin")

    jobs._repeat("deliver", work, lambda: None)


def test_a_poll_that_waits_ends_at_once() -> None:
    with pytest.raises(OutOfTime):
        sleep_unless_stopping(3600)


def test_the_request_reaches_processes_that_were_forked_before() -> None:
    stopping.withdraw()
    child = fork.Process(target=stopping.sleep, args=(3600,))
    child.start()
    stopping.request()
    child.join(PATIENCE_SECONDS)
    assert child.exitcode == 0
