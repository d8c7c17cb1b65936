"""The tasks. Each calls one service; each may come twice, late, or not at all without harm."""

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
from app.services import evaluation, health, retention
from app.services.ingest import accounts, callbacks, polling, streams, subaccounts
from app.services.ingest.listing import sleep_unless_stopping
from app.services.logs import tallies, text_index
from app.services.outbox import dispatch
from app.tasks.slots import slot
from app.utils import stopping
from app.utils.clock import utc_now
from app.utils.db_retry import retry_on_conflict

TEXT_INDEX_SECONDS = 10.0
TALLY_SECONDS = 10.0
"""The search and the plots may lag behind, and must not keep a worker from what may not."""
MAX_RUN_SECONDS = 50.0
"""A task that finds ever more work stops here and lets its next tick go on."""
SHORT = {"soft_time_limit": 120, "time_limit": 150}
LONG = {"soft_time_limit": 300, "time_limit": 330}
LONGER = {"soft_time_limit": 600, "time_limit": 630}
"""Seconds. A task that is cut off lets its lease end, and the next one goes on where it stopped."""


@lru_cache
def _runner() -> asyncio.Runner:
    """One event loop for the life of the process: a new one each time would wait for stuck resolver threads."""
    return asyncio.Runner()


def _repeat(kind: str, work: Callable[[], bool], again: Callable[[], None]) -> None:
    """Work in a place of this kind until nothing is left, the time is up (a next task goes on), or the worker stops."""
    with slot(kind) as acquired:
        began = time.monotonic()
        while acquired and not stopping.requested() and retry_on_conflict(work):
            if time.monotonic() - began > MAX_RUN_SECONDS:
                again()
                return


@shared_task(name="poll", **LONG)
def poll() -> None:
    """Poll every stream whose turn it is, one after another; other tasks poll others at the same time."""
    with session_scope() as session:
        accounts.ensure_environment_account(session, get_settings(), utc_now())
    _repeat("poll", _poll_next, wake.poll)


def _poll_next() -> bool:
    """Poll the stream that has waited longest, or ask what became of the accounts; False where nothing is due."""
    with session_scope() as session:
        due = streams.due(session, utc_now())
        failing = streams.failing(session)
    polled = any(_poll(stream_id, stream_id in failing) for stream_id in due if not stopping.requested())
    return polled or subaccounts.refresh_due(get_settings()) > 0


def _poll(stream_id: int, failing: bool) -> bool:
    """Poll a stream; one of those that keep failing only while no other of them is polled: each may hang for long."""
    if not failing:
        return _poll_now(stream_id)
    with slot("poll_failing") as acquired:
        return acquired and _poll_now(stream_id)


def _poll_now(stream_id: int) -> bool:
    return polling.poll(stream_id, get_settings(), sleep=sleep_unless_stopping)


@shared_task(name="read_pushed", **SHORT)
def read_pushed() -> None:
    """Read the logs that callbacks named and that are not known yet."""
    with slot("callbacks") as acquired:
        if acquired:
            callbacks.read_pending(get_settings())


@shared_task(name="evaluate", **SHORT)
def evaluate() -> None:
    """Evaluate the changes that wait."""
    _repeat("evaluate", lambda: evaluation.evaluate_changes(get_settings(), MAX_RUN_SECONDS) > 0, wake.evaluate)


@shared_task(name="evaluate_time", **SHORT)
def evaluate_time() -> None:
    """Evaluate what depends on time alone."""
    retry_on_conflict(lambda: evaluation.evaluate_time(get_settings(), utc_now(), MAX_RUN_SECONDS))


@shared_task(name="deliver", **SHORT)
def deliver() -> None:
    """Send the deliveries that are due."""
    _repeat("deliver", lambda: dispatch.deliver_due(get_settings(), _runner()) > 0, wake.deliver)


@shared_task(name="maintain", **LONGER)
def maintain() -> None:
    """Drop what has outlived its keep-until."""
    retention.clean(get_settings(), utc_now())


@shared_task(name="write_down_words", **LONGER)
def index_texts() -> None:
    """Let the search of logs follow what was stored."""
    text_index.catch_up(get_settings(), TEXT_INDEX_SECONDS)


@shared_task(name="tally_hours", **LONGER)
def tally_hours() -> None:
    """Let the tallies of logs follow what was stored."""
    settings, now = get_settings(), utc_now()
    tallies.catch_up(now, now - timedelta(days=settings.retention_days), TALLY_SECONDS)


@shared_task(name="heartbeat", **SHORT)
def heartbeat() -> None:
    """Tell whoever watches over us that all is read and nothing overdue."""
    health.send_heartbeat(get_settings(), utc_now())


@shared_task(name="note_beat", **SHORT)
def note_beat() -> None:
    """Note that beat ticks and that a worker takes its ticks."""
    seen = insert(Heartbeat).values([{"name": name, "seen_at": utc_now()} for name in ("beat", "worker")])
    with session_scope() as session:
        session.execute(seen.on_conflict_do_update(index_elements=["name"], set_={"seen_at": seen.excluded.seen_at}))
