"""Polls one stream: lists new logs, then late ones, then rereads logs that are not final."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.orm import Session

from app import metrics
from app.config import Settings
from app.database import session_scope, write_with_retry
from app.errors import LeaseLost, NoCredentials, TwilioError, TwilioRateLimited, TwilioRefused
from app.services.ingest import backfills, plan, rereads, streams, sweeps
from app.services.ingest.listing import Listing, list_span
from app.services.ingest.poll_run import OutOfTime, PollRun
from app.services.ingest.reader import Runtime, open_with_budget
from app.utils.clock import Clock, utc_now
from app.utils.crashpoints import crashpoint
from app.utils.db_retry import is_contended, is_transient

MAX_REFUSALS = 3
"""After this many refusals in a row, credentials are not tried at every poll."""
SLOW_RETRY = timedelta(minutes=15)
DATABASE_RETRY = timedelta(seconds=5)
"""If the database failed and not Twilio, the next poll need not wait for its turn."""

log = structlog.get_logger()


def poll(
    stream_id: int, settings: Settings, clock: Clock = utc_now, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """Poll a stream that is due, from claiming its lease to releasing it.

    Returns: False if it was not due or another worker polls it.
    """
    started_at = clock()
    with session_scope() as session:
        lease = streams.claim(session, stream_id, started_at, timedelta(seconds=settings.poll_interval_seconds))
        if lease is None:
            return False
    crashpoint("poll.claimed")
    began = time.monotonic()
    with structlog.contextvars.bound_contextvars(account_sid=lease.account_sid, log_type=lease.log_type.value):
        reason = _poll_leased(lease, Runtime(settings, clock, sleep), started_at)
    labels = {"log_type": lease.log_type.value}
    counts = metrics.observe(metrics.POLL_DURATION.name, labels, time.monotonic() - began)
    if reason is not None:
        counts |= metrics.POLL_ERRORS.increment(log_type=lease.log_type.value, reason=reason)
    with session_scope() as session:
        metrics.count(session, counts)
    return reason != "lease_lost"


def _poll_leased(lease: streams.Lease, runtime: Runtime, started_at: datetime) -> str | None:
    """Read, and release the lease in every case. Return the reason of a failure."""
    clock = runtime.clock
    try:
        _read_leased(lease, runtime, started_at)
    except OutOfTime:
        with session_scope() as session:
            streams.pause(session, lease, clock())
    except KeyboardInterrupt:
        with session_scope() as session:
            streams.release(session, lease, due_at=clock())
        raise
    except LeaseLost as error:
        log.warning("poll given up", error=str(error))
        return "lease_lost"
    except TwilioError as error:
        log.warning("poll failed", reason=error.reason, error=str(error))
        _fail(lease, str(error), clock(), _retry_at(error, lease.failures + 1, clock(), runtime.settings))
        return error.reason
    except Exception as error:
        retry_at = clock() + DATABASE_RETRY if is_transient(error) else None
        if is_contended(error):
            # Nothing failed: another change held what this poll needed.
            write_with_retry(partial(streams.release, lease=lease, due_at=retry_at))
            raise
        _fail(lease, f"the poll failed: {type(error).__name__}; see the worker's log", clock(), retry_at)
        raise
    return None


def _read_leased(lease: streams.Lease, runtime: Runtime, started_at: datetime) -> None:
    """Read with the account's credentials, and prolong the lease before each request."""

    def prolong(session: Session) -> None:
        streams.prolong(session, lease, runtime.clock())

    with open_with_budget(lease.account_id, runtime, also=prolong) as reader:
        poll = PollRun(lease, reader, runtime, started_at)
        poll.resume_points, poll.swept_at = dict(lease.resume_points), dict(lease.swept_at)
        try:
            _read(poll)
        finally:
            if poll.changes:
                log.info("logs read", changes=poll.changes)


def _fail(lease: streams.Lease, error: str, now: datetime, retry_at: datetime | None) -> None:
    """Release the lease, with retries: if that fails, the stream waits until the lease ends."""

    def write(session: Session) -> None:
        streams.fail(session, lease, error, now, retry_at)

    write_with_retry(write)


def _retry_at(error: TwilioError, failures: int, now: datetime, settings: Settings) -> datetime | None:
    """Return when to retry, if that differs from the next poll."""
    if isinstance(error, TwilioRateLimited) and error.retry_after_seconds is not None:
        return now + timedelta(seconds=error.retry_after_seconds)
    if isinstance(error, NoCredentials):
        return None
    if isinstance(error, TwilioRefused) and error.status_code in (401, 403) and failures >= MAX_REFUSALS:
        return now + max(SLOW_RETRY, timedelta(seconds=settings.poll_interval_seconds))
    return None


def _read(poll: PollRun) -> None:
    """Read the backlog and the head, then run the sweeps and rereads that are due."""
    planned = plan.plan_poll(
        poll.lease.log_type,
        poll.lease.complete_from,
        poll.lease.complete_until,
        poll.lease.read_from,
        poll.started_at,
        backfill=timedelta(hours=poll.settings.initial_backfill_hours),
        retention=timedelta(days=poll.settings.retention_days),
    )
    poll.floor = poll.lease.complete_from or planned.since
    _record_start(poll, planned)
    try:
        for span in planned.slices:
            _read_slice(poll, sweeps.extended_for_sweep(poll, span))
    except OutOfTime:
        with session_scope() as session:
            streams.lock(session, poll.lease, (), poll.now())
            streams.mark_rereads_behind(session, poll.lease)
        raise
    behind = sweeps.sweep(poll)
    behind |= rereads.run_rereads(poll)
    with session_scope() as session:
        streams.succeed(session, poll.lease, poll.now(), rereads_behind=behind)
    backfills.run_backfills(poll)
    with session_scope() as session:
        streams.release(session, poll.lease)
        crashpoint("poll.finished")


def _record_start(poll: PollRun, planned: plan.Plan) -> None:
    """Record since when the stream is covered, and gaps that can never be read."""
    with session_scope() as session:
        streams.lock(session, poll.lease, (), poll.now())
        streams.set_complete_from(session, poll.lease, planned.since)
        if planned.gap is not None:
            gap = planned.gap
            streams.record_gap(session, poll.lease, gap.since, gap.until, gap.reason, poll.now())


def _read_slice(poll: PollRun, span: plan.Slice) -> None:
    """List one slice completely. The transaction of its last page records how far the stream is read."""

    def finish(session: Session, began: datetime) -> None:
        if span.until is not None:
            streams.save_backlog(session, poll.lease, span.until)
            return
        streams.advance_complete_until(session, poll.lease, began - plan.ALLOWANCE)
        sweeps.record_sweep(session, poll, span.since, began)

    try:
        list_span(poll, Listing("slice", span), finish)
    except TwilioRefused as error:
        if span.until is None or error.code not in backfills.TOO_OLD:
            raise
        now = poll.now()
        with session_scope() as session:
            streams.lock(session, poll.lease, (), now)
            streams.record_gap(session, poll.lease, span.since, span.until, f"Twilio refused it: {error}", now)
            streams.save_backlog(session, poll.lease, span.until)
