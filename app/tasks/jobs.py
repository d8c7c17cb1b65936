"""The tasks. Each calls one service, and may run twice, late or not at all without harm."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache

from celery import shared_task
from sqlalchemy.dialects.postgresql import insert

from app import wake
from app.config import get_settings
from app.database import session_scope
from app.models import Heartbeat
from app.services import health, lags, retention
from app.services.alerts.withholding import withheld
from app.services.evaluation import pipeline
from app.services.ingest import accounts, callbacks, polling, streams, subaccounts
from app.services.ingest.poll_run import sleep_unless_stopping
from app.services.logs import tallies, text_index
from app.services.outbox import dispatch
from app.services.reports import due
from app.tasks import slots
from app.utils import stopping
from app.utils.clock import utc_now
from app.utils.db_retry import retry_on_conflict

TEXT_INDEX_SECONDS = 10.0
TALLY_SECONDS = 10.0
"""Text index and tallies may lag behind, and must not delay other work."""
MAX_RUN_SECONDS = 50.0
"""A task that keeps finding work stops here; its next tick continues."""
SHORT = {"soft_time_limit": 120, "time_limit": 150}
LONG = {"soft_time_limit": 300, "time_limit": 330}
LONGER = {"soft_time_limit": 600, "time_limit": 630}
"""Seconds. If a task is killed, its lease ends and the next one continues."""


@lru_cache
def _runner() -> asyncio.Runner:
    """Return the process's event loop: new ones would each wait for stuck resolver threads at the end."""
    return asyncio.Runner()


def _repeat(kind: str, work: Callable[[], bool], again: Callable[[], None]) -> None:
    """Run `work` in a slot of this kind until nothing is left, the time is up (then call `again`), or a stop.

    If all slots are in use, their holders look for work once more: they may have done so before this task's work came.
    """
    began = time.monotonic()
    slots.mark(kind)
    while slots.is_marked(kind):
        with slots.slot(kind) as acquired:
            if not acquired:
                return
            slots.unmark(kind)
            while not stopping.requested() and retry_on_conflict(work):
                if time.monotonic() - began > MAX_RUN_SECONDS:
                    again()
                    return


@shared_task(name="poll", **LONG)
def poll() -> None:
    """Poll the streams that are due, one after another; other tasks poll others concurrently."""
    with session_scope() as session:
        accounts.ensure_environment_account(session, get_settings(), utc_now())
    _repeat("poll", _poll_next, wake.poll)


def _poll_next() -> bool:
    """Poll the stream that has waited longest, or check accounts; False if nothing is due."""
    with session_scope() as session:
        due = streams.due(session, utc_now())
        failing = streams.failing(session)
    polled = any(_poll(stream_id, stream_id in failing) for stream_id in due if not stopping.requested())
    return polled or subaccounts.refresh_due(get_settings()) > 0


def _poll(stream_id: int, failing: bool) -> bool:
    """Poll a stream. Only one failing stream is polled at a time: each may hang for long."""
    if not failing:
        return _poll_now(stream_id)
    with slots.slot("poll_failing") as acquired:
        return acquired and _poll_now(stream_id)


def _poll_now(stream_id: int) -> bool:
    return polling.poll(stream_id, get_settings(), sleep=sleep_unless_stopping)


@shared_task(name="read_pushed", **SHORT)
def read_pushed() -> None:
    """Fetch unknown logs that callbacks named."""

    def read_once() -> bool:
        callbacks.read_pending(get_settings())
        return False

    _repeat("callbacks", read_once, wake.callbacks)


@shared_task(name="evaluate", **SHORT)
def evaluate() -> None:
    """Evaluate pending changes."""
    _repeat("evaluate", lambda: pipeline.evaluate_changes(get_settings(), MAX_RUN_SECONDS) > 0, wake.evaluate)


@shared_task(name="evaluate_time", **SHORT)
def evaluate_time() -> None:
    """Evaluate conditions that depend on time alone."""
    retry_on_conflict(lambda: pipeline.evaluate_time(get_settings(), utc_now(), MAX_RUN_SECONDS))


@shared_task(name="deliver", **SHORT)
def deliver() -> None:
    _repeat("deliver", lambda: dispatch.deliver_due(get_settings(), _runner(), withheld) > 0, wake.deliver)


@shared_task(name="make_reports", **LONG)
def make_reports() -> None:
    """Make the reports that are due."""
    due.make_due(get_settings(), utc_now())


@shared_task(name="maintain", **LONGER)
def maintain() -> None:
    """Delete expired data."""
    retention.clean(get_settings(), utc_now())


@shared_task(name="index_texts", **LONGER)
def index_texts() -> None:
    """Update the text index."""
    text_index.catch_up(get_settings(), TEXT_INDEX_SECONDS)


@shared_task(name="tally_hours", **LONGER)
def tally_hours() -> None:
    """Update the tallies."""
    settings, now = get_settings(), utc_now()
    tallies.catch_up(now, now - timedelta(days=settings.retention_days), TALLY_SECONDS)


@shared_task(name="heartbeat", **SHORT)
def heartbeat() -> None:
    """Send the heartbeat if everything is read and nothing is overdue, and record how far each stage lags."""
    health.send_heartbeat(get_settings(), utc_now())
    with session_scope() as session:
        lags.record(session, utc_now())


@shared_task(name="note_beat", **SHORT)
def note_beat() -> None:
    """Record that beat ticks and that a worker receives its ticks."""
    seen = insert(Heartbeat).values([{"name": name, "seen_at": utc_now()} for name in ("beat", "worker")])
    with session_scope() as session:
        session.execute(seen.on_conflict_do_update(index_elements=["name"], set_={"seen_at": seen.excluded.seen_at}))
