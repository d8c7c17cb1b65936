"""The tasks. Each calls one service; each may come twice, late, or not at all without harm."""

import asyncio
import time
from functools import lru_cache

from celery import shared_task
from sqlalchemy.dialects.postgresql import insert

from app import wake
from app.config import get_settings
from app.database import session_scope
from app.models import Heartbeat
from app.services import evaluation, retention
from app.services.ingest import accounts, polling, streams
from app.services.outbox import dispatch
from app.utils.clock import utc_now

LONGEST_RUN_SECONDS = 50.0
"""A task that finds ever more work stops here and lets its next tick go on."""


@lru_cache
def _runner() -> asyncio.Runner:
    """One event loop for the life of the process: a new one each time would wait for stuck resolver threads."""
    return asyncio.Runner()


@shared_task(name="poll_due")
def poll_due() -> None:
    """Start a poll of every stream whose turn it is."""
    settings = get_settings()
    with session_scope() as session:
        accounts.ensure_environment_account(session, settings, utc_now())
        due = streams.due(session, utc_now())
    for stream_id in due:
        poll_stream.apply_async((stream_id,), queue="poll", expires=max(5, settings.poll_interval_seconds))


@shared_task(name="poll_stream")
def poll_stream(stream_id: int) -> None:
    """Poll one stream."""
    polling.poll(stream_id, get_settings())


@shared_task(name="evaluate")
def evaluate() -> None:
    """Evaluate the changes that wait."""
    evaluation.evaluate_changes(get_settings(), LONGEST_RUN_SECONDS)


@shared_task(name="evaluate_time")
def evaluate_time() -> None:
    """Evaluate what depends on time alone."""
    evaluation.evaluate_time(get_settings(), utc_now())


@shared_task(name="deliver")
def deliver() -> None:
    """Send the deliveries that are due."""
    began = time.monotonic()
    while time.monotonic() - began < LONGEST_RUN_SECONDS:
        if not dispatch.deliver_due(get_settings(), _runner()):
            return
    wake.deliver()


@shared_task(name="maintain")
def maintain() -> None:
    """Drop what has outlived its keep-until."""
    retention.clean(get_settings(), utc_now())


@shared_task(name="note_beat")
def note_beat() -> None:
    """Note that beat ticks and that a worker takes its ticks."""
    seen = insert(Heartbeat).values([{"name": name, "seen_at": utc_now()} for name in ("beat", "worker")])
    with session_scope() as session:
        session.execute(seen.on_conflict_do_update(index_elements=["name"], set_={"seen_at": seen.excluded.seen_at}))
