"""A real worker forks processes while tasks wait, and stops them when they are idle."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from app import wake
from app.database import session_scope
from app.models import Heartbeat
from app.tasks.elastic_pool import MIN_PROCESSES
from tests.kits.deployment import Deployment
from tests.kits.frozen import children_of, stopped

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def deployment(database: str, broker: str, tmp_path: Path) -> Iterator[Deployment]:
    """A worker without a beat: it does what it is told, and no more."""
    with Deployment(database, broker, tmp_path, {"POLL_INTERVAL_SECONDS": "3600"}) as made:
        made.start("worker")
        yield made


def _tell() -> None:
    wake._client().send_task("note_beat", queue="maintenance")


def _has_worked() -> bool:
    with session_scope() as session:
        return bool(session.scalar(select(func.count()).select_from(Heartbeat)))


def _forget() -> None:
    with session_scope() as session:
        session.execute(delete(Heartbeat))


def test_a_task_that_waits_for_hanging_processes_gets_one_of_its_own(deployment: Deployment) -> None:
    worker = deployment.children.running["worker"].pid
    _tell()
    deployment.wait(_has_worked, "the worker works")
    resting = children_of(worker)
    assert len(resting) == MIN_PROCESSES
    with stopped(resting):
        _forget()
        for _ in range(MIN_PROCESSES + 1):  # one for each that hangs
            _tell()
        deployment.wait(_has_worked, "another process takes the last task")
        assert len(children_of(worker)) == MIN_PROCESSES + 1
    deployment.wait(lambda: len(children_of(worker)) == MIN_PROCESSES, "the worker rests again")
    _forget()
    _tell()
    deployment.wait(_has_worked, "those that are left work")
    assert "Traceback" not in (deployment.folder / "worker.log").read_text()
