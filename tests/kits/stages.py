"""Each stage once, in a process of its own that a crash point may kill: what a worker's child does, without the worker.

The processes are forked from a server that has the product imported already, so that one costs no more than its work.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from datetime import timedelta

import httpcore
import psycopg2.sql
import time_machine
from sqlalchemy import select, text, update
from sqlalchemy.orm import configure_mappers

from app import models, wake
from app.actions import mail_text, webhook_sender
from app.config import Settings, get_settings
from app.database import session_scope
from app.services import retention
from app.services.alerts.withholding import withheld
from app.services.evaluation import pipeline
from app.services.ingest import accounts, callbacks, polling
from app.services.outbox import dispatch
from app.services.twilio import countries, error_codes, pushes
from app.utils.clock import utc_now
from app.utils.tls import tls_context
from tests.kits.waiting import PATIENCE_SECONDS

MAX_SECONDS = 60.0
"""How long a stage may work on what it finds."""
KILLED = -signal.SIGKILL
LOADED = (webhook_sender, httpcore, psycopg2.sql)
"""Modules that would be imported at first use, in each process again."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])
# Once for all of them, as a worker does before it forks.
countries.load()
error_codes.load()
mail_text.load()
configure_mappers()
tls_context()
gc.freeze()


def _poll() -> None:
    """Poll every stream, due or not, in the order of their numbers; streams that are leased are somebody else's."""
    settings = get_settings()
    with session_scope() as session:
        now = utc_now()
        accounts.ensure_environment_account(session, settings, now)
        session.execute(update(models.Stream).values(due_at=now))
        streams = session.scalars(select(models.Stream.id).order_by(models.Stream.id)).all()
    for stream_id in streams:
        polling.poll(stream_id, settings)


def _push() -> None:
    """Take a status callback; `PUSHED` holds its parameters as JSON."""
    push = pushes.read_status(json.loads(os.environ["PUSHED"]))
    assert push is not None
    callbacks.accept([push], get_settings(), utc_now())


def _read_pushed() -> None:
    callbacks.read_pending(get_settings())


def _evaluate() -> None:
    pipeline.evaluate_changes(get_settings(), MAX_SECONDS)
    pipeline.evaluate_time(get_settings(), utc_now(), MAX_SECONDS)


def _deliver() -> None:
    with asyncio.Runner() as runner:
        while dispatch.deliver_due(get_settings(), runner, withheld):
            pass


def _clean() -> None:
    retention.clean(get_settings(), utc_now())


def _migrate() -> None:
    from alembic import command
    from alembic.config import Config

    command.upgrade(Config("alembic.ini"), "head")


STAGES: Mapping[str, Callable[[], None]] = {
    "poll": _poll,
    "push": _push,
    "read_pushed": _read_pushed,
    "evaluate": _evaluate,
    "deliver": _deliver,
    "clean": _clean,
    "migrate": _migrate,
}


def _work(stage: str, environment: Mapping[str, str], clock_ahead: timedelta) -> None:
    """What the process does; it knows of this run's settings alone."""
    if clock_ahead:
        time_machine.travel(utc_now() + clock_ahead, tick=True).start()
    os.environ.clear()
    os.environ.update(environment)
    Settings.env_file = None
    wake._wake_queue.put = lambda task, queue: None  # type: ignore[method-assign]  # a hint that is lost
    STAGES[stage]()


class Stages:
    """Runs stages with the settings of a test."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def start(
        self, stage: str, crashpoint: str | None = None, *, clock_ahead: timedelta = timedelta(), **changes: str
    ) -> "multiprocessing.Process":
        """Start a stage without waiting for it; its machine's clock may be wrong."""
        environment = self.environment | changes
        if crashpoint is not None:
            environment |= {"GP_TEST_BUILD": "1", "GP_CRASHPOINT": crashpoint}
        process = _processes.Process(target=_work, args=(stage, environment, clock_ahead), daemon=True)
        process.start()
        return process  # type: ignore[return-value]  # a process of another start method

    def run(
        self, stage: str, crashpoint: str | None = None, *, clock_ahead: timedelta = timedelta(), **changes: str
    ) -> int:
        """Run a stage to its end; return its exit code, which is `KILLED` where it met its crash point."""
        process = self.start(stage, crashpoint, clock_ahead=clock_ahead, **changes)
        process.join(PATIENCE_SECONDS)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"the stage {stage} took more than {PATIENCE_SECONDS:.0f} seconds")
        return process.exitcode


def let_leases_end() -> None:
    """Let the time pass after which what a dead worker held is anybody's."""
    ended = utc_now() - timedelta(seconds=1)
    with session_scope() as session:
        session.execute(text("UPDATE streams SET lease_until = :ended WHERE lease_until > :ended"), {"ended": ended})
        session.execute(text("UPDATE deliveries SET lease_until = :ended WHERE lease_until > :ended"), {"ended": ended})


def let_retries_come() -> None:
    """Let the time pass until what is owed is due."""
    with session_scope() as session:
        session.execute(text("UPDATE deliveries SET next_attempt_at = now() WHERE status = 'pending'"))
