"""An outage of the database: one line for all processes of a worker, and no stacks."""

import struct

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from app.tasks import outage, slots
from tests.kits.waiting import PATIENCE_SECONDS
from tests.unit.tasks.test_slots import fork

AWAY = OperationalError("SELECT 1", None, Exception("gone"))


@pytest.fixture(autouse=True)
def not_reported() -> None:
    slots.prepare()
    outage._reported_at[:] = struct.pack("dd", 0.0, 0.0)


def test_only_the_first_process_reports_within_a_minute() -> None:
    children = [fork.Process(target=outage.report, args=(AWAY,)) for _ in range(5)]
    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE_SECONDS)
    with capture_logs() as lines:
        outage.report(AWAY)
    assert lines == []


def test_the_next_minute_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as lines:
        outage.report(AWAY)
        monkeypatch.setattr(outage, "EVERY_SECONDS", 0.0)
        outage.report(AWAY)
    assert [line["event"].partition(":")[0] for line in lines] == ["the database does not answer"] * 2, lines


def test_a_task_without_a_database_ends_without_a_stack(environment: pytest.MonkeyPatch) -> None:
    from app.tasks import jobs
    from app.tasks.celery_app import celery_app  # reads the settings at its import

    with capture_logs() as lines:
        assert celery_app.tasks[jobs.note_beat.name]() is None
        assert celery_app.tasks[jobs.poll.name]() is None
    assert [line["error"] for line in lines] == ["OperationalError"]
