"""Backfills: time spans to read again. The polls of their streams do this after reading new logs."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import and_, select, update
from sqlalchemy.orm import Session

from app.database import session_scope
from app.enums import LogSource, LogType
from app.errors import FieldError, InvalidInput, TwilioRefused
from app.models import Account, Backfill, Stream
from app.services.ingest import plan, streams
from app.services.ingest.listing import Listing, list_span
from app.services.ingest.plan import Slice
from app.services.ingest.poll_run import PollRun

TOO_OLD = (20001, 20004)
"""Twilio's codes for a filter that reaches too far back. Retrying does not help."""
REQUEST_TOLERANCE = timedelta(minutes=1)
"""Tolerance for a span as long as the retention: it is measured from the request, a moment ago."""

log = structlog.get_logger()


def request(
    session: Session, account_id: int, since: datetime, until: datetime, now: datetime, retention: timedelta
) -> list[Backfill]:
    """Request a backfill of every stream of an account. Its polls read it from now on.

    Raises: InvalidInput if the span is empty or older than the retention.
    """
    if since < now - retention - REQUEST_TOLERANCE:
        raise InvalidInput([FieldError("since", f"must not be before RETENTION_DAYS, {retention.days} days ago")])
    if until > now:
        raise InvalidInput([FieldError("until", "must not be in the future")])
    if since >= until:
        raise InvalidInput([FieldError("until", "must be after since")])
    query = select(Stream).where(Stream.account_id == account_id, Stream.unavailable.is_(False)).order_by(Stream.id)
    asked = []
    for stream in session.scalars(query):
        oldest = max(since, now - plan.HISTORY[LogType(stream.log_type)])
        backfill = Backfill(stream_id=stream.id, since=since, until=until, read_from=oldest, requested_at=now)
        session.add(backfill)
        stream.due_at = now
        asked.append(backfill)
    session.flush()
    return asked


class Progress(NamedTuple):
    """How far some backfills are."""

    share: float
    """How much is read, from 0 to 1."""
    records: int
    waiting: set[int]
    """The streams of those that are not finished."""
    errors: list[str]


def progress(session: Session, ids: Collection[int]) -> Progress:
    """Return how far these backfills are, at least one."""
    rows = session.scalars(select(Backfill).where(Backfill.id.in_(ids))).all()
    return Progress(
        sum(_share(row) for row in rows) / len(rows),
        sum(row.records for row in rows),
        {row.stream_id for row in rows if row.finished_at is None},
        [row.last_error for row in rows if row.last_error],
    )


def _share(row: Backfill) -> float:
    return 1.0 if row.finished_at else max(0.0, (row.read_from - row.since) / (row.until - row.since))


def unfinished(session: Session, stream_id: int | None = None) -> Sequence[Backfill]:
    """List unfinished backfills, oldest first."""
    query = select(Backfill).where(Backfill.finished_at.is_(None)).order_by(Backfill.id)
    return session.scalars(query if stream_id is None else query.where(Backfill.stream_id == stream_id)).all()


def known_from(session: Session, account_id: int | None = None) -> dict[tuple[str, str], datetime]:
    """Return since when each stream is stored completely, by account and log type; backfills extend it.

    Live rules use `complete_from` instead: they did not count the logs of a backfill.
    """
    is_whole = and_(Backfill.finished_at.is_not(None), Backfill.last_error.is_(None))
    query = (
        select(
            Account.sid, Stream.log_type, Stream.complete_from, Backfill.since, Backfill.until, Backfill.requested_at
        )
        .join(Account, Account.id == Stream.account_id)
        .outerjoin(Backfill, and_(Backfill.stream_id == Stream.id, is_whole))
        .where(Stream.complete_from.is_not(None))
        .order_by(Backfill.until.desc())
    )
    rows = session.execute(query if account_id is None else query.where(Stream.account_id == account_id))
    found: dict[tuple[str, str], datetime] = {}
    for sid, log_type, complete_from, since, until, requested_at in rows:
        assert complete_from is not None, "the query asks for it"
        start = found.setdefault((sid, log_type), complete_from)
        if since is not None and since < start <= until:
            found[sid, log_type] = min(start, max(since, requested_at - plan.HISTORY[LogType(log_type)]))
    return found


def run_backfills(poll: PollRun) -> None:
    """Read the backfills of this stream until they are done or the poll's time is up.

    Raises: OutOfTime, TwilioError, LeaseLost.
    """
    with session_scope() as session:
        waiting = list(unfinished(session, poll.lease.stream_id))
        session.expunge_all()
    for backfill in waiting:
        try:
            _read_backfill(poll, backfill)
        except TwilioRefused as error:
            if error.code not in TOO_OLD:
                raise
            log.warning("a backfill was refused", error=str(error))
            _finish(poll, backfill, str(error))


def _read_backfill(poll: PollRun, backfill: Backfill) -> None:
    """Read day by day, oldest first, then the calls and messages that the filters by day omit."""

    def count(session: Session, number: int) -> None:
        counted = update(Backfill).where(Backfill.id == backfill.id)
        session.execute(counted.values(records=Backfill.records + number))

    poll.source = LogSource.BACKFILL
    try:
        for span in _day_spans(poll.lease.log_type, backfill):
            listing = Listing("backfill", span, keeps_reserve=True, count=count)
            list_span(poll, listing, lambda session, _, span=span: _save_progress(session, backfill, span))  # type: ignore[misc]
    finally:
        poll.source = LogSource.POLL
    _finish(poll, backfill, None)


def _day_spans(log_type: LogType, backfill: Backfill) -> list[Slice]:
    spans = []
    start = backfill.read_from
    while start < backfill.until:
        midnight = datetime.combine(start.astimezone(UTC).date(), time(), UTC) + plan.ONE_DAY
        spans.append(Slice(start, min(midnight, backfill.until)))
        start = midnight
    return spans if log_type == LogType.ERROR else [*spans, Slice(backfill.since, None)]


def _save_progress(session: Session, backfill: Backfill, span: Slice) -> None:
    """Record the progress."""
    if span.until is not None:
        session.execute(update(Backfill).where(Backfill.id == backfill.id).values(read_from=span.until))


def _finish(poll: PollRun, backfill: Backfill, error: str | None) -> None:
    now = poll.now()
    with session_scope() as session:
        streams.lock(session, poll.lease, (), now)
        values = {"finished_at": now, "last_error": error}
        session.execute(update(Backfill).where(Backfill.id == backfill.id).values(**values))
