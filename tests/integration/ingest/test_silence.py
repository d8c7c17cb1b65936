"""A Twilio that does not answer costs those who wait for it, and nobody else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import update

from app.database import session_scope
from app.enums import LogType
from app.errors import TwilioTimeout
from app.models import Stream
from app.services.ingest.credentials import Credentials
from app.services.ingest.reader import Runtime, open_reader
from app.services.twilio.client import TwilioReader
from app.tasks import jobs, slots
from scripts.twilio_simulator import FaultKind
from tests.integration.ingest.world import World
from tests.kits.waiting import wait_until


@contextmanager
def _taken_elsewhere(kind: str) -> Iterator[None]:
    """Let another process hold a slot; it knows no more than that, since this one has threads."""
    slots.prepare()
    held, holder = os.pipe()
    waiter, let_go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(let_go)
        with slots.slot(kind) as got:
            os.write(holder, b"1" if got else b"0")
            os.read(waiter, 1)
        os._exit(0)
    os.close(waiter)
    assert os.read(held, 1) == b"1"
    yield
    os.close(let_go)
    os.waitpid(child, 0)
    os.close(held)
    os.close(holder)


def _reader(world: World) -> TwilioReader:
    account = world.simulator.account
    url = world.server.url
    credentials = Credentials(account.sid, account.sid, account.auth_token, url, url)
    return open_reader(
        credentials, lambda: None, Runtime(world.settings, world.clock, world.sleep), timeout_seconds=0.2
    )


def test_an_answer_that_does_not_come_is_waited_for_once_and_left_to_the_next_poll(world: World) -> None:
    world.simulator.faults.add(FaultKind.SLOW, path="Messages.json", seconds=1)
    with _reader(world) as reader, pytest.raises(TwilioTimeout):
        list(reader.list_pages(LogType.MESSAGE))
    wait_until(lambda: world.requests() > 0, "the request arrives, were it after its sender has gone")
    assert world.requests() == 1


def test_failing_streams_are_polled_one_at_a_time_and_leave_the_other_slots(world: World) -> None:
    world.poll(LogType.CALL)
    with session_scope() as session:
        session.execute(update(Stream).values(due_at=world.clock.now, last_success_at=None))
        session.execute(update(Stream).where(Stream.log_type != LogType.CALL).values(failures=2))
    with _taken_elsewhere("poll_failing"):
        jobs.poll()
    assert world.stream(LogType.CALL).last_success_at is not None
    assert world.stream(LogType.MESSAGE).last_success_at is None, "another that keeps failing is waited for"
    jobs.poll()
    assert world.stream(LogType.MESSAGE).last_success_at is not None, "its turn comes"
