"""A real worker whose child hangs in the middle of a page, until the limit of its task ends it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from app import wake
from app.database import session_scope
from app.enums import LogType
from app.models import Heartbeat, Log, Stream
from app.utils.clock import utc_now
from scripts.twilio_simulator import add_messages
from scripts.twilio_simulator.faults import FaultKind
from tests.kits.deployment import Deployment
from tests.kits.frozen import children_of
from tests.kits.stages import let_leases_end

PAGE = 1000
HANGS_SECONDS = 600.0
LIMITS = {"soft_time_limit": 10, "time_limit": 12}
"""Of one task, by its message: those of the product take five minutes. A child that waits for a thread outlives the
first, which is an exception in it, and is killed by the second."""


@pytest.fixture
def deployment(database: str, broker: str, tmp_path: Path) -> Iterator[Deployment]:
    """A worker without a beat: it does what it is told, and no more."""
    with Deployment(database, broker, tmp_path, {"POLL_INTERVAL_SECONDS": "3600"}) as made:
        made.start("worker")
        yield made


def _tell(task: str, queue: str, **options: int) -> None:
    wake._client().send_task(task, queue=queue, **options)


def _messages() -> tuple[int, Stream | None]:
    """Count the messages that are stored, and look how far they are known."""
    with session_scope() as session:
        stream = session.scalar(select(Stream).where(Stream.log_type == LogType.MESSAGE))
        count = session.scalar(select(func.count()).where(Log.log_type == LogType.MESSAGE)) or 0
        session.expunge_all()
        return count, stream


def _poll_now() -> None:
    with session_scope() as session:
        session.execute(update(Stream).values(due_at=utc_now()))
    _tell("poll", "poll")


def _is_read_whole() -> bool:
    _, stream = _messages()
    return stream is not None and stream.complete_until is not None


def _works(deployment: Deployment) -> bool:
    """Let a child of the worker do something, and see that it did."""
    _tell("note_beat", "maintenance")
    with session_scope() as session:
        return session.scalar(select(Heartbeat.name).limit(1)) is not None


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_poll_that_meets_its_hard_limit_is_killed_and_repeated(deployment: Deployment) -> None:
    add_messages(deployment.simulator, PAGE + 1, spacing_seconds=0.01, failing=0)
    deployment.simulator.faults.add(FaultKind.STALL, path="PageToken", seconds=HANGS_SECONDS, times=100)
    worker = deployment.children.running["worker"].pid
    _tell("poll", "poll", **LIMITS)
    deployment.wait(lambda: _messages()[0] == PAGE, "the first page is stored")
    before = set(children_of(worker))
    log = deployment.folder / "worker.log"
    deployment.wait(lambda: "Hard time limit (12s) exceeded for poll" in log.read_text(), "the limit is met")
    deployment.wait(lambda: len(before - set(children_of(worker))) == 1, "the child is gone")
    deployment.wait(lambda: len(children_of(worker)) == len(before), "another one takes its place")
    deployment.wait(lambda: _works(deployment), "the worker works")
    count, stream = _messages()
    assert stream is not None
    assert (count, stream.complete_until, stream.last_success_at) == (PAGE, None, None)
    assert stream.lease_until is not None
    assert stream.lease_until > utc_now(), "the dead child's lease still holds"
    deployment.simulator.faults.clear()
    let_leases_end()
    _poll_now()
    deployment.wait(_is_read_whole, "the next poll goes on")
    with session_scope() as session:
        stored = list(session.scalars(select(Log.sid)))
    assert sorted(stored) == sorted(each.sid for each in deployment.simulator.emitted())
    deployment.children.check()
