"""The coverage of streams: which spans were read, are lost for good, or are not read yet."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.enums import Coverage, LogType
from app.models import Account, Backfill, CoverageGap, Stream
from app.services.ingest import plan
from app.services.spans import Span, check_span
from app.utils.clock import rfc3339

MAX_SPAN = timedelta(days=400)
SHOWN_SPAN = timedelta(days=30)


@dataclass(frozen=True)
class CoverageItem:
    """A span of one stream, and its coverage."""

    log_type: LogType
    since: datetime
    until: datetime
    state: Coverage


@dataclass(frozen=True)
class StreamMarks:
    """How far a stream was read."""

    first_from: datetime | None
    """Where its first read began."""
    complete_from: datetime | None
    """The same, or the end of the last gap."""
    complete_until: datetime | None
    read_from: datetime | None
    """With a backlog: the time up to which it was read."""
    gaps: Sequence[Span] = ()
    backfilled: Sequence[Span] = ()
    """The spans that backfills have read."""


def item_json(item: CoverageItem) -> dict[str, str]:
    """Serialize a span."""
    times = {"since": rfc3339(item.since), "until": rfc3339(item.until)}
    return {"log_type": item.log_type, **times, "state": item.state}


def of_account(session: Session, account: Account, since: datetime, until: datetime) -> list[CoverageItem]:
    """List the coverage of [since, until): per stream in the order of time, without holes.

    Raises: InvalidInput if the span is empty or too long.
    """
    check_span(since, until, MAX_SPAN)
    streams = session.scalars(select(Stream).where(Stream.account_id == account.id).order_by(Stream.id)).all()
    return [
        CoverageItem(LogType(stream.log_type), *span, state)
        for stream, marks in _marks(session, streams)
        for span, state in classify(marks, since, until)
    ]


@dataclass(frozen=True)
class Unread:
    """A span of one stream of one account that was not read."""

    account_sid: str
    item: CoverageItem
    is_before: bool
    """It lies before the first read of the stream: the account was added later."""


def unread(session: Session, since: datetime, until: datetime) -> list[Unread]:
    """List the unread spans within [since, until) of all watched streams that can be read."""
    query = select(Stream, Account.sid).join(Account, Account.id == Stream.account_id)
    query = query.where(Account.enabled, Stream.unavailable.is_(False)).order_by(Account.sid, Stream.id)
    rows = session.execute(query).all()
    sids = {stream.id: sid for stream, sid in rows}
    return [
        Unread(
            sids[stream.id],
            CoverageItem(LogType(stream.log_type), *span, state),
            stream.complete_until is not None and stream.first_from is not None and span[1] <= stream.first_from,
        )
        for stream, marks in _marks(session, [stream for stream, _ in rows])
        for span, state in classify(marks, since, until)
        if state != Coverage.READ
    ]


@dataclass(frozen=True)
class WatchedStreams:
    """The streams that are watched and can be read."""

    streams: int
    accounts: int
    read_at: datetime | None
    """The oldest last read of them all; None while some stream was never read."""
    was_read: bool
    """Whether any of them was ever read."""


def watched_streams(session: Session) -> WatchedStreams:
    """Count the streams that are watched and can be read, and find when they were read."""
    query = select(
        func.count(),
        func.count(Stream.account_id.distinct()),
        func.count(Stream.last_success_at),
        func.min(Stream.last_success_at),
    ).join(Account, Account.id == Stream.account_id)
    watched = query.where(Account.enabled, Stream.unavailable.is_(False))
    streams, accounts, read, oldest = session.execute(watched).one()
    return WatchedStreams(streams, accounts, oldest if read == streams else None, read > 0)


def read_until(session: Session) -> datetime | None:
    """Return the time up to which every watched stream that can be read was read; None without such streams."""
    complete_until = func.min(func.coalesce(Stream.complete_until, Account.started_at))
    query = select(complete_until).join(Account, Account.id == Stream.account_id)
    return session.scalar(query.where(Account.enabled, Stream.unavailable.is_(False)))


def _marks(session: Session, streams: Sequence[Stream]) -> list[tuple[Stream, StreamMarks]]:
    """Find how far streams were read."""
    gaps = _gaps(session, [stream.id for stream in streams])
    backfilled = _backfilled(session, streams)
    return [
        (
            stream,
            StreamMarks(
                stream.first_from,
                stream.complete_from,
                stream.complete_until,
                stream.read_from,
                gaps[stream.id],
                backfilled[stream.id],
            ),
        )
        for stream in streams
    ]


def _gaps(session: Session, stream_ids: Sequence[int]) -> dict[int, list[Span]]:
    query = select(CoverageGap).where(CoverageGap.stream_id.in_(stream_ids)).order_by(CoverageGap.since)
    found: defaultdict[int, list[Span]] = defaultdict(list)
    for gap in session.scalars(query):
        found[gap.stream_id].append((gap.since, gap.until))
    return found


def _backfilled(session: Session, streams: Sequence[Stream]) -> dict[int, list[Span]]:
    """Find the spans that backfills have read; an unfinished one counts up to its progress."""
    log_types = {stream.id: LogType(stream.log_type) for stream in streams}
    query = select(Backfill).where(Backfill.stream_id.in_(log_types), Backfill.last_error.is_(None))
    found: defaultdict[int, list[Span]] = defaultdict(list)
    for each in session.scalars(query):
        oldest = max(each.since, each.requested_at - plan.HISTORY[log_types[each.stream_id]])
        found[each.stream_id].append((oldest, each.read_from if each.finished_at is None else each.until))
    return found


def classify(marks: StreamMarks, since: datetime, until: datetime) -> list[tuple[Span, Coverage]]:
    """Classify each part of [since, until). Pure.

    Returns: parts in the order of time; neighbours differ in their state.
    """
    read = _read_spans(marks)
    ends = {end for span in (*read, *marks.gaps) for end in span if since < end < until}
    cuts = [since, *sorted(ends), until]
    parts: list[tuple[Span, Coverage]] = []
    for first, last in pairwise(cuts):
        state = _state_at(first, read, marks.gaps)
        if parts and parts[-1][1] == state:
            parts[-1] = ((parts[-1][0][0], last), state)
        else:
            parts.append(((first, last), state))
    return parts


def _read_spans(marks: StreamMarks) -> list[Span]:
    """List the spans that were read: by backfills, before each gap, and after the last one."""
    spans = list(marks.backfilled)
    ends = [at for at in (marks.complete_until, marks.read_from) if at is not None]
    if marks.complete_from is not None and ends:
        spans.append((marks.complete_from, max(ends)))
    between = [(until, since) for (_, until), (since, _) in pairwise(marks.gaps)]
    first = [(marks.first_from, marks.gaps[0][0])] if marks.first_from is not None and marks.gaps else []
    return [*spans, *first, *between]


def _state_at(at: datetime, read: Sequence[Span], gaps: Sequence[Span]) -> Coverage:
    if any(since <= at < until for since, until in gaps):
        return Coverage.GAP
    return Coverage.READ if any(since <= at < until for since, until in read) else Coverage.NOT_YET
