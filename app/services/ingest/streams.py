"""The streams: which are due, who polls them, and how far each is complete.

A lease in the stream's row has a token that fences every later write, so two workers never poll a stream
concurrently, even if one of them slept past its lease.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from app.enums import LogType
from app.errors import LeaseLost
from app.models import Account, CoverageGap, Stream, StreamEvaluation

LEASE = timedelta(seconds=90)
"""A silent worker loses its stream after this time: longer than one request may take."""
FAILING_THRESHOLD = 2
"""A stream is failing after this many failed polls in a row."""


@dataclass(frozen=True)
class Lease:
    """The right to poll a stream until another worker takes it over, or its credentials change."""

    stream_id: int
    account_id: int
    account_sid: str
    log_type: LogType
    token: UUID
    complete_from: datetime | None
    complete_until: datetime | None
    read_from: datetime | None
    swept_at: Mapping[str, Any]
    resume_points: Mapping[str, Any]
    failures: int


def create_for(session: Session, account: Account, now: datetime) -> None:
    """Create the missing ones of an account's three streams, due now."""
    known = set(session.scalars(select(Stream.log_type).where(Stream.account_id == account.id)))
    for log_type in (log_type for log_type in LogType if log_type not in known):
        stream = Stream(account_id=account.id, log_type=log_type, due_at=now)
        session.add(stream)
        session.flush()
        session.add(StreamEvaluation(stream_id=stream.id))


def due(session: Session, now: datetime) -> list[int]:
    """List the streams of enabled accounts that are due and not leased."""
    free = or_(Stream.lease_until.is_(None), Stream.lease_until < now)
    query = select(Stream.id).join(Account, Account.id == Stream.account_id)
    query = query.where(Account.enabled, Stream.unavailable.is_(False), Stream.due_at <= now, free)
    return list(session.scalars(query.order_by(Stream.due_at)))


def make_due(
    session: Session, now: datetime, *, ids: Collection[int] | None = None, account_id: int | None = None
) -> None:
    """Make streams due now: these, those of one account, or all."""
    query = update(Stream).values(due_at=now)
    if ids is not None:
        query = query.where(Stream.id.in_(ids))
    if account_id is not None:
        query = query.where(Stream.account_id == account_id)
    session.execute(query)


def reset_and_make_due(session: Session, account_ids: Collection[int], now: datetime) -> None:
    """Make all streams of these accounts due now, and clear their retry delays.

    Leases end: a poll that still waits for Twilio, with the old credentials, must not write what came of them.
    """
    fresh = update(Stream).where(Stream.account_id.in_(account_ids))
    session.execute(fresh.values(due_at=now, failures=0, last_error=None, lease_token=None, lease_until=None))


def retry_failing(session: Session, now: datetime) -> None:
    """Make streams that fail or were never read due now: the cause may be gone."""
    session.execute(update(Stream).where(or_(Stream.failures > 0, Stream.last_success_at.is_(None))).values(due_at=now))


def failing(session: Session) -> set[int]:
    """Return the failing streams."""
    return set(session.scalars(select(Stream.id).where(Stream.failures >= FAILING_THRESHOLD)))


def claim(session: Session, stream_id: int, now: datetime, interval: timedelta) -> Lease | None:
    """Lease a stream that is due; None if it is not due or another worker has it."""
    free = or_(Stream.lease_until.is_(None), Stream.lease_until < now)
    account_sid = select(Account.sid).where(Account.id == Stream.account_id).scalar_subquery()
    claimed = session.execute(
        update(Stream)
        .where(Stream.id == stream_id, Stream.due_at <= now, free)
        .values(lease_token=uuid4(), lease_until=now + LEASE, due_at=now + interval)
        .returning(Stream, account_sid)
    ).one_or_none()
    if claimed is None:
        return None
    stream, sid = claimed
    return Lease(
        stream_id=stream.id,
        account_id=stream.account_id,
        account_sid=sid,
        log_type=LogType(stream.log_type),
        token=stream.lease_token,
        complete_from=stream.complete_from,
        complete_until=stream.complete_until,
        read_from=stream.read_from,
        swept_at=stream.swept_at,
        resume_points=stream.resume_points,
        failures=stream.failures,
    )


def prolong(session: Session, lease: Lease, now: datetime) -> None:
    """Extend a lease while its worker waits.

    Raises: LeaseLost if the lease has ended.
    """
    renewed = session.scalar(
        update(Stream)
        .where(Stream.id == lease.stream_id, Stream.lease_token == lease.token)
        .values(lease_until=now + LEASE)
        .returning(Stream.id)
    )
    if renewed is None:
        raise _lost(lease)


def lock(session: Session, lease: Lease, also: Collection[LogType], now: datetime) -> dict[str, int]:
    """Lock the leased stream and others of its account for one transaction, and extend the lease.

    Returns: log type to stream id, of the locked streams.
    Raises:  LeaseLost if the lease has ended.
    """
    streams = lock_all(session, lease.account_id, {lease.log_type, *also})
    own = next((stream for stream in streams if stream.id == lease.stream_id), None)
    if own is None or own.lease_token != lease.token:
        raise _lost(lease)
    own.lease_until = now + LEASE
    return {stream.log_type: stream.id for stream in streams}


def lock_all(session: Session, account_id: int, log_types: Collection[LogType]) -> Sequence[Stream]:
    """Lock streams of an account for one transaction, in one order. Writing logs or changes requires it."""
    return session.scalars(
        select(Stream)
        .where(Stream.account_id == account_id, Stream.log_type.in_(log_types))
        .order_by(Stream.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def set_complete_from(session: Session, lease: Lease, since: datetime) -> None:
    """Record since when a stream is complete, at its first read. The caller holds the stream's lock."""
    first = update(Stream).where(Stream.id == lease.stream_id, Stream.complete_from.is_(None))
    session.execute(first.values(complete_from=since, first_from=since))


def record_gap(session: Session, lease: Lease, since: datetime, until: datetime, reason: str, now: datetime) -> None:
    """Record a coverage gap. The stream is complete only after it. The caller holds the stream's lock."""
    known = session.scalar(
        select(CoverageGap.id).where(CoverageGap.stream_id == lease.stream_id, CoverageGap.until == until).limit(1)
    )
    if known is None:
        gap = CoverageGap(stream_id=lease.stream_id, since=since, until=until, reason=reason, noted_at=now)
        session.add(gap)
    later = func.greatest(Stream.complete_from, until)
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(complete_from=later))


def save_resume_points(session: Session, lease: Lease, resume_points: Mapping[str, Any]) -> None:
    """Store resume points of long listings. The caller holds the stream's lock."""
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(resume_points=dict(resume_points)))


def save_sweeps(session: Session, lease: Lease, swept_at: Mapping[str, Any]) -> None:
    """Record when the list was read again, and how far back. The caller holds the stream's lock."""
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(swept_at=dict(swept_at)))


def mark_rereads_behind(session: Session, lease: Lease) -> None:
    """Record that rereads wait for a backlog. The caller holds the stream's lock."""
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(rereads_behind=True))


def save_backlog(session: Session, lease: Lease, read_from: datetime) -> None:
    """Record that a backlog is read up to `read_from`. The stream is not complete before all of it is read.

    Call `lock` first, in the same transaction as the logs.
    """
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(read_from=read_from))


def advance_complete_until(session: Session, lease: Lease, until: datetime) -> None:
    """Record that everything created up to `until` was listed. Never goes back. The caller holds the stream's lock."""
    later = func.greatest(Stream.complete_until, until)
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(complete_until=later, read_from=None))


def succeed(session: Session, lease: Lease, now: datetime, *, rereads_behind: bool) -> None:
    """Record a successful poll."""
    values = {"last_success_at": now, "last_error": None, "failures": 0, "rereads_behind": rereads_behind}
    _update_leased(session, lease, values)


def release(session: Session, lease: Lease, due_at: datetime | None = None) -> None:
    """Release the stream; `due_at` overrides the time of the next poll."""
    values: dict[str, object] = {"lease_token": None, "lease_until": None}
    if due_at is not None:
        values["due_at"] = due_at
    _update_leased(session, lease, values)


def pause(session: Session, lease: Lease, now: datetime) -> None:
    """Release the stream after a poll that ran out of time. It is healthy, and due again immediately."""
    values: dict[str, object] = {"due_at": now, "last_success_at": now, "last_error": None, "failures": 0}
    values |= {"lease_token": None, "lease_until": None}
    _update_leased(session, lease, values)


def fail(session: Session, lease: Lease, error: str, now: datetime, retry_at: datetime | None) -> None:
    """Record a failed poll with its reason and release the stream; `retry_at` overrides the time of the next poll."""
    values: dict[str, object] = {"lease_token": None, "lease_until": None, "last_error": error, "last_error_at": now}
    values["failures"] = Stream.failures + 1
    if retry_at is not None:
        values["due_at"] = retry_at
    _update_leased(session, lease, values)


def _update_leased(session: Session, lease: Lease, values: Mapping[str, object]) -> None:
    """Write to the stream, unless the lease has ended."""
    leased = update(Stream).where(Stream.id == lease.stream_id, Stream.lease_token == lease.token)
    session.execute(leased.values(**values))


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(
        f"the lease of {lease.log_type} of {lease.account_sid} ended: another worker polls it, or it has new"
        " credentials; what was not committed is read again"
    )


@dataclass(frozen=True)
class StreamStatus:
    """The state of a stream, as people read it."""

    account_sid: str
    log_type: str
    complete_until: datetime | None
    last_error: str | None
    unavailable: bool
    unavailable_reason: str | None


def stream_statuses(session: Session) -> list[StreamStatus]:
    """List the state of the enabled accounts' streams."""
    columns = (Stream.log_type, Stream.complete_until, Stream.last_error, Stream.unavailable, Stream.unavailable_reason)
    query = (
        select(Account.sid, *columns)
        .join(Account, Account.id == Stream.account_id)
        .where(Account.enabled)
        .order_by(Account.sid, Stream.log_type)
    )
    return [StreamStatus(*row) for row in session.execute(query)]
