"""Polls one stream: lists what is new, reads again what is not final, stores page by page, each in one transaction."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from typing import TypeVar

import msgspec
import structlog
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import metrics, wake
from app.config import Settings
from app.database import session_scope
from app.enums import LogSource, LogType
from app.errors import LeaseLost, TwilioError, TwilioRateLimited
from app.models import Account, Log, QuarantinedRecord
from app.services.ingest import accounts, budget, plan, streams
from app.services.ingest.normalize import MalformedRecord, content_hash, head, normalize
from app.services.logs import store
from app.services.logs.types import NormalizedLog
from app.services.twilio.client import TwilioReader
from app.utils.clock import utc_now

MAX_SINGLE_READS = 25
"""Of more logs than this of one day that are to be read again, the day is listed instead."""
RESERVE = 0.5
"""The share of a minute's request budget that reading logs again leaves to listing new ones."""
KEPT_RECORD_BYTES = 16 * 1024

log = structlog.get_logger()
Clock = Callable[[], datetime]
T = TypeVar("T")


@dataclass(frozen=True)
class _Poll:
    """What the steps of one poll share."""

    lease: streams.Lease
    reader: TwilioReader
    settings: Settings
    clock: Clock
    started_at: datetime


@dataclass(frozen=True)
class _Seen:
    """What one page told."""

    changes: int
    newest_at: datetime | None
    """The latest creation or sending among the logs; None where no log says where in the list's order it stands."""


def poll(stream_id: int, settings: Settings, clock: Clock = utc_now) -> bool:
    """Poll a stream that is due, from taking its lease to giving it back.

    Returns: False where it was not due, or somebody else polls it.
    """
    started_at = clock()
    with session_scope() as session:
        lease = streams.claim(session, stream_id, started_at, timedelta(seconds=settings.poll_interval_seconds))
        if lease is None:
            return False
        account = session.get_one(Account, lease.account_id)
        session.expunge(account)
    began = time.monotonic()
    counts: dict[metrics.Key, float] = {}
    try:
        with _reader(account, settings, clock) as reader:
            _read(_Poll(lease, reader, settings, clock, started_at))
    except LeaseLost as error:
        log.warning("poll given up", stream_id=stream_id, error=str(error))
        return False
    except TwilioError as error:
        log.warning("poll failed", stream_id=stream_id, reason=error.reason, error=str(error))
        counts = metrics.POLL_ERRORS.one(log_type=lease.log_type, reason=error.reason)
        with session_scope() as session:
            streams.fail(session, lease, str(error), clock(), _pause(error, clock()))
    with session_scope() as session:
        metrics.count(
            session,
            counts
            | metrics.observe(metrics.POLL_DURATION.name, {"log_type": lease.log_type}, time.monotonic() - began),
        )
    return True


def _pause(error: TwilioError, now: datetime) -> datetime | None:
    """Say when to ask again, where that is not simply the next poll."""
    if isinstance(error, TwilioRateLimited) and error.retry_after_seconds is not None:
        return now + timedelta(seconds=error.retry_after_seconds)
    return None


def _reader(account: Account, settings: Settings, clock: Clock) -> TwilioReader:
    """Open a reader whose every request is counted against the account's budget, and waits for it."""

    def before_request() -> None:
        while True:
            with session_scope() as session:
                if budget.take(session, account.id, clock(), settings.twilio_max_requests_per_minute):
                    return
            now = clock()
            time.sleep((budget.minute_of(now) + timedelta(minutes=1) - now).total_seconds())

    credentials = accounts.credentials(account, settings)
    return TwilioReader(
        account_sid=credentials.account_sid,
        username=credentials.username,
        password=credentials.password,
        api_base_url=settings.twilio_api_base_url,
        monitor_base_url=settings.twilio_monitor_base_url,
        before_request=before_request,
    )


def _read(poll: _Poll) -> None:
    """Read the backlog, the head, and then again what is not final."""
    planned = plan.slices(
        poll.lease.log_type,
        poll.lease.complete_until,
        poll.lease.read_from,
        poll.started_at,
        timedelta(hours=poll.settings.initial_backfill_hours),
    )
    for piece in planned:
        _read_slice(poll, piece)
    behind = _read_again(poll)
    with session_scope() as session:
        streams.succeed(session, poll.lease, poll.clock(), rereads_behind=behind)


def _read_slice(poll: _Poll, piece: plan.Slice) -> None:
    """List one slice to its end; note in the transaction of its last page how far the stream is read."""
    ordered = poll.lease.log_type != LogType.ERROR
    pages = poll.reader.list_pages(
        poll.lease.log_type, since=piece.since if piece.until or not ordered else None, until=piece.until
    )
    for page in _prefetched(pages):
        with session_scope() as session:
            stream_ids = streams.lock(session, poll.lease, _also_locked(poll.lease.log_type), poll.clock())
            seen = _take_in(session, poll, stream_ids, page.records)
            # Only the head of a list that comes newest first may be left before its end.
            reached = piece.until is None and ordered and seen.newest_at is not None and seen.newest_at < piece.since
            done = reached or not page.has_next
            if done and piece.until is None:
                streams.complete(session, poll.lease, poll.started_at - plan.ALLOWANCE)
            elif done and piece.until is not None:
                streams.note_backlog(session, poll.lease, piece.until)
        if seen.changes:
            wake.evaluate()
        if done:
            return


def _prefetched(items: Iterator[T]) -> Iterator[T]:
    """Fetch the next item while the caller works on the last one."""
    with ThreadPoolExecutor(1) as executor:
        coming = executor.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = executor.submit(next, items, None)
            yield item


def _also_locked(log_type: LogType) -> tuple[LogType, ...]:
    """Error entries give calls their codes: whoever stores them writes changes of calls."""
    return (LogType.CALL,) if log_type == LogType.ERROR else ()


def _take_in(session: Session, poll: _Poll, stream_ids: dict[str, int], records: Sequence[msgspec.Raw]) -> _Seen:
    """Store what a page tells that is new; a record that is no log is quarantined, and the rest goes on."""
    now, log_type = poll.clock(), poll.lease.log_type
    policy = _policy(poll.settings, now)
    heads: list[tuple[str, int, msgspec.Raw]] = []
    logs: list[NormalizedLog] = []
    odd: list[tuple[msgspec.Raw, str]] = []
    for record in records:
        try:
            heads.append((*head(record), record))
        except MalformedRecord as error:
            odd.append((record, str(error)))
    known = store.lookup(session, poll.lease.account_id, [sid for sid, _, _ in heads])
    unchanged = []
    for sid, hashed, record in heads:
        if sid in known and known[sid].content_hash == hashed:
            unchanged.append(known[sid])
            continue
        try:
            logs.append(normalize(log_type, record, now))
        except MalformedRecord as error:
            odd.append((record, str(error)))
    store.touch(session, unchanged, now, policy)
    changes = store.save(session, poll.lease.account_id, stream_ids, logs, known, LogSource.POLL, now, policy)
    _quarantine(session, poll, odd, now)
    return _Seen(changes, _newest(log_type, [*logs, *unchanged]))


def _policy(settings: Settings, now: datetime) -> store.StorePolicy:
    return store.StorePolicy(
        settle=timedelta(hours=settings.settle_hours),
        keep_bodies=settings.store_message_bodies,
        oldest=now - timedelta(days=settings.retention_days),
    )


def _newest(log_type: LogType, logs: Iterable[NormalizedLog | store.Known]) -> datetime | None:
    """Find the latest time by which a list may be ordered.

    Messages that were never sent have no place in the order of sending; a page of nothing else tells nothing.
    """
    times = [(item.occurred_at, item.sent_at) for item in logs]
    if log_type == LogType.MESSAGE and not any(sent_at for _, sent_at in times):
        return None
    return max((max(occurred_at, sent_at or occurred_at) for occurred_at, sent_at in times), default=None)


def _quarantine(session: Session, poll: _Poll, odd: Sequence[tuple[msgspec.Raw, str]], now: datetime) -> None:
    """Keep records that are no logs, with the reason, where an operator finds them."""
    rows = {
        content_hash(record): {
            "account_id": poll.lease.account_id,
            "log_type": poll.lease.log_type,
            "content_hash": content_hash(record),
            "reason": reason,
            "record": bytes(record)[:KEPT_RECORD_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd"),
            "seen_at": now,
        }
        for record, reason in odd
    }
    if rows:
        log.warning("records of odd shape were set aside", stream_id=poll.lease.stream_id, count=len(rows))
        statement = insert(QuarantinedRecord).values(list(rows.values()))
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["account_id", "log_type", "content_hash"], set_={"seen_at": statement.excluded.seen_at}
            )
        )


def _read_again(poll: _Poll) -> bool:
    """Read again the logs that are not final and whose time has come.

    Returns: True where the request budget did not reach for all of them.
    """
    if poll.lease.log_type == LogType.ERROR:
        return False
    by_day: dict[datetime, int] = {}
    for _, sent_at in _due(poll):
        day = datetime.combine(sent_at.date(), time_of_day(), UTC)
        by_day[day] = by_day.get(day, 0) + 1
    for day, count in sorted(by_day.items()):
        if count > MAX_SINGLE_READS:
            for page in poll.reader.list_pages(poll.lease.log_type, since=day, until=day + plan.ONE_DAY):
                _store_records(poll, page.records)
    # A listing by day may leave out logs that were never sent: those are read by their sids.
    for sid, _ in _due(poll):
        with session_scope() as session:
            left = budget.left(
                session, poll.lease.account_id, poll.clock(), poll.settings.twilio_max_requests_per_minute
            )
        if left <= poll.settings.twilio_max_requests_per_minute * RESERVE:
            return True
        record = poll.reader.read_one(poll.lease.log_type, sid)
        if record is None:
            _give_up(poll, sid)
        else:
            _store_records(poll, [record])
    return False


def _due(poll: _Poll) -> list[tuple[str, datetime]]:
    """List the logs to be read again before the next poll, most urgent first, as (sid, when sent)."""
    until = poll.clock() + timedelta(seconds=poll.settings.poll_interval_seconds)
    query = select(Log.sid, text("coalesce(sent_at, occurred_at)"))
    query = query.where(
        Log.account_id == poll.lease.account_id, Log.log_type == poll.lease.log_type, Log.reread_at <= until
    )
    # What was read by this poll already is due again only after it.
    query = query.where(Log.read_at < poll.started_at)
    with session_scope() as session:
        return [(sid, sent_at) for sid, sent_at in session.execute(query.order_by(Log.reread_at))]


def _store_records(poll: _Poll, records: Sequence[msgspec.Raw]) -> None:
    with session_scope() as session:
        stream_ids = streams.lock(session, poll.lease, _also_locked(poll.lease.log_type), poll.clock())
        changes = _take_in(session, poll, stream_ids, records).changes
    if changes:
        wake.evaluate()


def _give_up(poll: _Poll, sid: str) -> None:
    """Stop reading a log that Twilio no longer has; what is stored stays."""
    with session_scope() as session:
        streams.lock(session, poll.lease, (), poll.clock())
        session.execute(
            text("UPDATE logs SET reread_at = NULL WHERE account_id = :account_id AND sid = :sid"),
            {"account_id": poll.lease.account_id, "sid": sid},
        )
