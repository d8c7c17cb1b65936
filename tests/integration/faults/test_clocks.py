"""A worker whose clock is wrong does as others do: what is due, leased and read whole goes by the database's clock."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import time_machine
from sqlalchemy import select, text, update

from app.database import session_scope
from app.models import Alert, Delivery, LogChange, Stream
from app.services.ingest import streams
from app.utils import clock
from app.utils.clock import utc_now
from tests.integration.faults.conftest import CrashRig

WRONG = pytest.mark.parametrize("wrong", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
MOMENT = timedelta(minutes=2)


def _streams() -> list[Stream]:
    with session_scope() as session:
        found = list(session.scalars(select(Stream)))
        session.expunge_all()
        return found


def _times(column: object) -> Iterator[datetime]:
    with session_scope() as session:
        yield from session.scalars(select(column))  # type: ignore[call-overload]


@WRONG
def test_written_records_are_of_now_and_none_is_missed(rig: CrashRig, wrong: timedelta) -> None:
    for stage in ("poll", "evaluate", "deliver"):
        assert rig.stages.run(stage, clock_ahead=wrong) == 0
    rig.check_in_the_end()
    now = utc_now()
    for stream in _streams():
        assert stream.complete_until is not None
        assert now - MOMENT < stream.complete_until < now - timedelta(seconds=60)
        assert now < stream.due_at < now + timedelta(minutes=5)
    for column in (LogChange.seen_at, Alert.firing_notified_at, Delivery.created_at, Delivery.finished_at):
        assert all(abs(at - now) < MOMENT for at in _times(column))
    rig.simulator.add_call(status="completed", to="+447700900123")
    assert rig.stages.run("poll") == 0
    assert set(rig.stored()) == rig.emitted(), "what comes after it is read"
    signed_at = {int(request.headers["webhook-timestamp"]) for request in rig.web.requests}
    assert all(abs(at - now.timestamp()) < MOMENT.total_seconds() for at in signed_at)


def test_it_takes_no_stream_that_another_one_polls(rig: CrashRig) -> None:
    with session_scope() as session:
        session.execute(update(Stream).values(due_at=utc_now()))
        leases = [streams.claim(session, each.id, utc_now(), MOMENT) for each in _streams()]
    assert rig.stages.run("poll", clock_ahead=timedelta(hours=1)) == 0
    assert not rig.stored()
    assert {each.lease_token for each in _streams()} == {lease.token for lease in leases if lease}


def test_it_sends_nothing_early_and_takes_nothing_that_another_one_sends(rig: CrashRig) -> None:
    assert rig.stages.run("poll") == 0
    assert rig.stages.run("evaluate") == 0
    with session_scope() as session:
        session.execute(
            text("UPDATE deliveries SET next_attempt_at = now() + interval '30 minutes' WHERE number % 2 = 0")
        )
        session.execute(text("UPDATE deliveries SET lease_until = now() + interval '4 minutes' WHERE number % 2 = 1"))
    assert rig.stages.run("deliver", clock_ahead=timedelta(hours=1)) == 0
    assert not rig.received()


def test_the_clock_is_the_databases_whatever_becomes_of_the_machines(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock.database_clock, "_read", None)
    before = utc_now()
    with session_scope():
        pass
    with time_machine.travel(before + timedelta(days=1)):
        assert before <= utc_now() < before + MOMENT
