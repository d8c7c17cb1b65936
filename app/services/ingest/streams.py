"""Whose turn it is to be polled, who polls it now, and how far each stream is known whole.

A lease in the stream's row, with a token on which every later write is fenced, keeps two workers from polling one
stream at once, even when one of them slept past its lease.
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
"""How long a worker may be silent before another takes the stream over: longer than one request may take."""


FAILING_THRESHOLD = 2
"""After so many failed polls in a row a stream is one that keeps failing."""


@dataclass(frozen=True)
class Lease:
    """The right to poll a stream, until it is taken over."""

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
    """Make those of the three streams of an account that it does not have, due at once."""
    known = set(session.scalars(select(Stream.log_type).where(Stream.account_id == account.id)))
    for log_type in (log_type for log_type in LogType if log_type not in known):
        stream = Stream(account_id=account.id, log_type=log_type, due_at=now)
        session.add(stream)
        session.flush()
        session.add(StreamEvaluation(stream_id=stream.id))


def due(session: Session, now: datetime) -> list[int]:
    """List the streams of enabled accounts that are to be polled now and that nobody polls."""
    free = or_(Stream.lease_until.is_(None), Stream.lease_until < now)
    query = select(Stream.id).join(Account, Account.id == Stream.account_id)
    query = query.where(Account.enabled, Stream.unavailable.is_(False), Stream.due_at <= now, free)
    return list(session.scalars(query.order_by(Stream.due_at)))


def poll_at_once(session: Session, account_ids: Collection[int], now: datetime) -> None:
    """Let every stream of these accounts be polled now, as if none had failed: no wait goes on."""
    fresh = update(Stream).where(Stream.account_id.in_(account_ids))
    session.execute(fresh.values(due_at=now, failures=0, last_error=None))


def retry_failing(session: Session, now: datetime) -> None:
    """Let every stream that fails, or was never read, be polled now: what stopped it may be over."""
    session.execute(update(Stream).where(or_(Stream.failures > 0, Stream.last_success_at.is_(None))).values(due_at=now))


def failing(session: Session) -> set[int]:
    """Find the streams that keep failing."""
    return set(session.scalars(select(Stream.id).where(Stream.failures >= FAILING_THRESHOLD)))


def claim(session: Session, stream_id: int, now: datetime, interval: timedelta) -> Lease | None:
    """Take a stream that is due; None where somebody else has it or it is not due."""
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
    """Keep a lease alive while its worker waits.

    Raises: LeaseLost where another worker has taken the stream over.
    """
    renewed = session.scalar(
        update(Stream)
        .where(Stream.id == lease.stream_id, Stream.lease_token == lease.token)
        .values(lease_until=now + LEASE)
        .returning(Stream.id)
    )
    if renewed is None:
        raise LeaseLost(
            f"another worker polls {lease.log_type} of {lease.account_sid} now; what was not committed is read again"
        )


def lock(session: Session, lease: Lease, also: Collection[LogType], now: datetime) -> dict[str, int]:
    """Lock the leased stream, and others of its account, for one transaction; prolong the lease.

    Returns: log type to stream, of those locked.
    Raises:  LeaseLost where another worker has taken the stream over.
    """
    streams = lock_all(session, lease.account_id, {lease.log_type, *also})
    own = next((stream for stream in streams if stream.id == lease.stream_id), None)
    if own is None or own.lease_token != lease.token:
        raise LeaseLost(
            f"another worker polls {lease.log_type} of {lease.account_sid} now; what was not committed is read again"
        )
    own.lease_until = now + LEASE
    return {stream.log_type: stream.id for stream in streams}


def lock_all(session: Session, account_id: int, log_types: Collection[LogType]) -> Sequence[Stream]:
    """Lock streams of an account for one transaction: whoever writes their logs or changes holds them, in one order."""
    return session.scalars(
        select(Stream)
        .where(Stream.account_id == account_id, Stream.log_type.in_(log_types))
        .order_by(Stream.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def set_complete_from(session: Session, lease: Lease, since: datetime) -> None:
    """Note from when on a stream will be known whole, when it is read for the first time."""
    first = func.coalesce(Stream.complete_from, since)
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(complete_from=first))


def record_gap(session: Session, lease: Lease, since: datetime, until: datetime, reason: str, now: datetime) -> None:
    """Record a span that nobody can read any more; the stream is known whole only after it. As for `save_backlog`."""
    known = session.scalar(
        select(CoverageGap.id).where(CoverageGap.stream_id == lease.stream_id, CoverageGap.until == until).limit(1)
    )
    if known is None:
        gap = CoverageGap(stream_id=lease.stream_id, since=since, until=until, reason=reason, noted_at=now)
        session.add(gap)
    later = func.greatest(Stream.complete_from, until)
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(complete_from=later))


def save_resume_points(session: Session, lease: Lease, resume_points: Mapping[str, Any]) -> None:
    """Note where long listings go on. As for `save_backlog`."""
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(resume_points=dict(resume_points)))


def save_sweeps(session: Session, lease: Lease, swept_at: Mapping[str, Any]) -> None:
    """Note when the list was read again, and how far back. As for `save_backlog`."""
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(swept_at=dict(swept_at)))


def mark_rereads_behind(session: Session, lease: Lease) -> None:
    """Note that what is due to be read again waits for a backlog. As for `save_backlog`."""
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(rereads_behind=True))


def save_backlog(session: Session, lease: Lease, read_from: datetime) -> None:
    """Note that a backlog is read up to `read_from`; nothing is claimed to be complete before it is read to its end.

    The stream is locked and belongs to the lease: call `lock` first, in the same transaction as the logs it covers.
    """
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(read_from=read_from))


def advance_complete_until(session: Session, lease: Lease, until: datetime) -> None:
    """Note that everything created up to `until` has been listed; that never goes back. As for `save_backlog`."""
    later = func.greatest(Stream.complete_until, until)
    session.execute(update(Stream).where(Stream.id == lease.stream_id).values(complete_until=later, read_from=None))


def succeed(session: Session, lease: Lease, now: datetime, *, rereads_behind: bool) -> None:
    """Note that a poll went well."""
    values = {"last_success_at": now, "last_error": None, "failures": 0, "rereads_behind": rereads_behind}
    session.execute(
        update(Stream).where(Stream.id == lease.stream_id, Stream.lease_token == lease.token).values(**values)
    )


def release(session: Session, lease: Lease, due_at: datetime | None = None) -> None:
    """Give the stream back; `due_at` sets another time for the next poll."""
    values: dict[str, object] = {"lease_token": None, "lease_until": None}
    if due_at is not None:
        values["due_at"] = due_at
    session.execute(
        update(Stream).where(Stream.id == lease.stream_id, Stream.lease_token == lease.token).values(**values)
    )


def pause(session: Session, lease: Lease, now: datetime) -> None:
    """End a poll that ran out of time, and give the stream back: it goes on at once, and it does read."""
    values: dict[str, object] = {"due_at": now, "last_success_at": now, "last_error": None, "failures": 0}
    values |= {"lease_token": None, "lease_until": None}
    session.execute(
        update(Stream).where(Stream.id == lease.stream_id, Stream.lease_token == lease.token).values(**values)
    )


def fail(session: Session, lease: Lease, error: str, now: datetime, retry_at: datetime | None) -> None:
    """End a poll that failed, with the reason, and give the stream back; `retry_at` sets another time for the next."""
    values: dict[str, object] = {"lease_token": None, "lease_until": None, "last_error": error, "last_error_at": now}
    values["failures"] = Stream.failures + 1
    if retry_at is not None:
        values["due_at"] = retry_at
    session.execute(
        update(Stream).where(Stream.id == lease.stream_id, Stream.lease_token == lease.token).values(**values)
    )


@dataclass(frozen=True)
class StreamStatus:
    """How a stream stands, for people."""

    account_sid: str
    log_type: str
    complete_until: datetime | None
    last_error: str | None


def stream_statuses(session: Session) -> list[StreamStatus]:
    """List the streams of the enabled accounts with how they stand."""
    query = select(Account.sid, Stream.log_type, Stream.complete_until, Stream.last_error)
    query = (
        query.join(Account, Account.id == Stream.account_id)
        .where(Account.enabled)
        .order_by(Account.sid, Stream.log_type)
    )
    return [StreamStatus(*row) for row in session.execute(query)]
