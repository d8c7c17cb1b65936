"""Polls one stream: lists what is new, then what may have come late, then reads again what is not final."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from app import metrics
from app.config import Settings
from app.database import session_scope, write_patiently
from app.errors import LeaseLost, NoCredentials, TwilioError, TwilioRateLimited, TwilioRefused
from app.services.ingest import accounts, backfills, budget, plan, rereads, streams, sweeps
from app.services.ingest.listing import Clock, Listing, OutOfTime, Poll, work_through
from app.services.twilio.client import TwilioReader
from app.utils.clock import utc_now
from app.utils.crashpoints import crashpoint
from app.utils.patience import is_passing

REFUSALS = 3
"""A credential that is refused so many times in a row is not tried again at every poll."""
SLOW_RETRY = timedelta(minutes=15)
AFTER_DATABASE = timedelta(seconds=5)
"""Where the database failed and not Twilio, the next poll need not wait for its turn."""

log = structlog.get_logger()


def poll(
    stream_id: int, settings: Settings, clock: Clock = utc_now, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """Poll a stream that is due, from taking its lease to giving it back.

    Returns: False where it was not due, or somebody else polls it.
    """
    started_at = clock()
    with session_scope() as session:
        lease = streams.claim(session, stream_id, started_at, timedelta(seconds=settings.poll_interval_seconds))
        if lease is None:
            return False
    crashpoint("poll.claimed")
    began = time.monotonic()
    with structlog.contextvars.bound_contextvars(account_sid=lease.account_sid, log_type=lease.log_type.value):
        reason = _poll_leased(lease, settings, clock, sleep, started_at)
    labels = {"log_type": lease.log_type.value}
    counts = metrics.observe(metrics.POLL_DURATION.name, labels, time.monotonic() - began)
    if reason is not None:
        counts |= metrics.POLL_ERRORS.one(log_type=lease.log_type.value, reason=reason)
    with session_scope() as session:
        metrics.count(session, counts)
    return reason != "lease_lost"


def _poll_leased(
    lease: streams.Lease,
    settings: Settings,
    clock: Clock,
    sleep: Callable[[float], None],
    started_at: datetime,
) -> str | None:
    """Read, and give the lease back whatever happens; return the reason where it failed."""
    try:
        with _reader(lease, settings, clock, sleep) as reader:
            poll = Poll(lease, reader, settings, clock, sleep, started_at)
            poll.reading, poll.swept_at = dict(lease.reading), dict(lease.swept_at)
            try:
                _read(poll)
            finally:
                if poll.changes:
                    log.info("logs read", changes=poll.changes)
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
        _fail(lease, str(error), clock(), _retry_at(error, lease.failures + 1, clock(), settings))
        return error.reason
    except Exception as error:
        retry_at = clock() + AFTER_DATABASE if is_passing(error) else None
        _fail(lease, f"the poll broke off: {type(error).__name__}; the log of the worker says more", clock(), retry_at)
        raise
    return None


def _fail(lease: streams.Lease, error: str, now: datetime, retry_at: datetime | None) -> None:
    """Give the lease back; where that fails, too, the stream waits until the lease ends: it is worth some patience."""

    def write(session: Session) -> None:
        streams.fail(session, lease, error, now, retry_at)

    write_patiently(write)


def _retry_at(error: TwilioError, failures: int, now: datetime, settings: Settings) -> datetime | None:
    """Say when to ask again, where that is not simply the next poll."""
    if isinstance(error, TwilioRateLimited) and error.retry_after_seconds is not None:
        return now + timedelta(seconds=error.retry_after_seconds)
    if isinstance(error, NoCredentials):
        return None
    if isinstance(error, TwilioRefused) and error.status_code in (401, 403) and failures >= REFUSALS:
        return now + max(SLOW_RETRY, timedelta(seconds=settings.poll_interval_seconds))
    return None


def _reader(lease: streams.Lease, settings: Settings, clock: Clock, sleep: Callable[[float], None]) -> TwilioReader:
    """Open a reader whose every request is counted against the account's budget, and waits for it."""

    def prolong(session: Session) -> None:
        streams.prolong(session, lease, clock())

    before_request = budget.waiter(lease.account_id, settings.twilio_max_requests_per_minute, clock, sleep, prolong)
    with session_scope() as session:
        credentials = accounts.load(session, lease.account_id, settings)
    return accounts.open_reader(credentials, before_request, clock, sleep)


def _read(poll: Poll) -> None:
    """Read the backlog and the head, then list and read again what is due."""
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
    _begin(poll, planned)
    try:
        for piece in planned.slices:
            _read_slice(poll, sweeps.widened(poll, piece))
    except OutOfTime:
        with session_scope() as session:
            streams.lock(session, poll.lease, (), poll.clock())
            streams.note_behind(session, poll.lease)
        raise
    behind = sweeps.sweep(poll)
    behind |= rereads.read_again(poll)
    with session_scope() as session:
        streams.succeed(session, poll.lease, poll.clock(), rereads_behind=behind)
    backfills.go_on(poll)
    with session_scope() as session:
        streams.release(session, poll.lease)
        crashpoint("poll.finished")


def _begin(poll: Poll, planned: plan.Plan) -> None:
    """Note from when on the stream is known, and what can never be known."""
    with session_scope() as session:
        streams.lock(session, poll.lease, (), poll.clock())
        streams.begin(session, poll.lease, planned.since)
        if planned.gap is not None:
            gap = planned.gap
            streams.note_gap(session, poll.lease, gap.since, gap.until, gap.reason, poll.clock())


def _read_slice(poll: Poll, piece: plan.Slice) -> None:
    """List one slice to its end; note in the transaction of its last page how far the stream is read."""

    def finish(session: Session, began: datetime) -> None:
        if piece.until is not None:
            streams.note_backlog(session, poll.lease, piece.until)
            return
        streams.complete(session, poll.lease, began - plan.ALLOWANCE)
        sweeps.note_head(session, poll, piece.since, began)

    try:
        work_through(poll, Listing("slice", piece), finish)
    except TwilioRefused as error:
        if piece.until is None or error.code not in backfills.TOO_OLD:
            raise
        now = poll.clock()
        with session_scope() as session:
            streams.lock(session, poll.lease, (), now)
            streams.note_gap(session, poll.lease, piece.since, piece.until, f"Twilio refused it: {error}", now)
            streams.note_backlog(session, poll.lease, piece.until)
