"""Takes in what Twilio pushes: keeps it once, applies it to the log it is about, reads that log where it is unknown.

Push is a shortcut: polls see the same in the end, and a push never goes over what is newer.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

import msgspec
import structlog
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import wake
from app.config import Settings
from app.database import session_scope
from app.enums import LogSource, LogType
from app.errors import TwilioError
from app.models import Account, PushedRecord
from app.services.ingest import accounts, budget, streams
from app.services.ingest.intake import IngestContext, apply_pushes, dependent_types, ingest_page
from app.services.ingest.normalize import content_hash
from app.services.twilio.client import TwilioReader
from app.services.twilio.pushes import Push
from app.utils.clock import utc_now
from app.utils.crashpoints import crashpoint

LOCK_TIMEOUT = "100ms"
"""How long an answer to Twilio waits for whoever is storing logs; then the worker applies what was told."""
READ_TIME = timedelta(minutes=2)
"""How long after a push an unknown log is asked for by its sid; later, polls find it."""
MAX_SINGLE_READS = 10
"""Of more unknown logs than this the newest are listed: a page holds a thousand, at the cost of one."""
MAX_PAGES = 5
MAX_TRIES = 2
TIMEOUT_SECONDS = 10.0
"""Pushes of other accounts wait meanwhile."""
APPLIED_RETENTION = timedelta(hours=24)
"""How long a push is known again: Twilio repeats one within minutes."""
PENDING_RETENTION = timedelta(days=36)
"""A push about a log that never appears is dropped after this."""

log = structlog.get_logger()


def accept(pushes: Iterable[Push], settings: Settings, now: datetime) -> int:
    """Keep what was pushed, and apply it at once where that takes no waiting; return how much of it was new.

    Pushes about accounts that are not watched are dropped.
    """
    by_account: dict[str, list[Push]] = defaultdict(list)
    for push in pushes:
        by_account[push.account_sid].append(push)
    new_pushes = 0
    for account_sid, pushed in by_account.items():
        with session_scope() as session:
            account_id = session.scalar(select(Account.id).where(Account.sid == account_sid, Account.enabled))
            count = _store_pushes(session, account_id, pushed, now) if account_id else 0
            crashpoint("callback.before_commit")
        crashpoint("callback.kept")
        if account_id and count:
            new_pushes += count
            _apply_at_once(account_id, pushed, settings, now)
            crashpoint("callback.applied")
    return new_pushes


def _store_pushes(session: Session, account_id: int, pushes: Sequence[Push], now: datetime) -> int:
    """Keep each push once, however often it comes."""
    rows = {}
    for push in pushes:
        digest = content_hash(msgspec.json.encode(push.payload, order="sorted"))
        rows[push.sid, digest] = {
            "account_id": account_id,
            "log_type": push.log_type.value,
            "sid": push.sid,
            "digest": digest,
            "fields": _without_nul(push.payload),
            "received_at": now,
        }
    statement = insert(PushedRecord).values(list(rows.values())).on_conflict_do_nothing()
    return len(session.scalars(statement.returning(PushedRecord.id)).all())


def _without_nul(payload: Mapping[str, object]) -> dict[str, object]:
    """PostgreSQL's JSON cannot hold it."""
    return {name: value.replace("\0", "\ufffd") if isinstance(value, str) else value for name, value in payload.items()}


def _apply_at_once(account_id: int, pushes: Sequence[Push], settings: Settings, now: datetime) -> None:
    """Apply pushes of one account, unless a poll holds its streams for longer than an answer may take."""
    sids: dict[LogType, set[str]] = defaultdict(set)
    for push in pushes:
        sids[push.log_type].add(push.sid)
    try:
        waiting = [_apply(account_id, kind, sorted(sids[kind]), settings, now, LOCK_TIMEOUT) for kind in sorted(sids)]
    except OperationalError:
        waiting = [1]
    if any(waiting):
        wake.callbacks()


def _apply(
    account_id: int, log_type: LogType, sids: Sequence[str], settings: Settings, now: datetime, lock_timeout: str = "0"
) -> int:
    """Apply what waits for these logs; return how many of them still wait because they are not known."""
    with session_scope() as session:
        session.execute(text(f"SET LOCAL lock_timeout = '{lock_timeout}'"))
        locked = streams.lock_all(session, account_id, {log_type, *dependent_types(log_type)})
        context = IngestContext(account_id, log_type, LogSource.CALLBACK, settings)
        applied = apply_pushes(session, context, {stream.log_type: stream.id for stream in locked}, sids, now)
    if applied.changes:
        wake.evaluate()
    return len(sids) - applied.sids


def read_pending(
    settings: Settings, clock: Callable[[], datetime] = utc_now, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Apply what waits, and read by their sids the logs that are pushed and not known; return how many were read."""
    now = clock()
    with session_scope() as session:
        query = select(PushedRecord.account_id, PushedRecord.log_type).where(PushedRecord.applied_at.is_(None))
        waiting = [(account_id, LogType(log_type)) for account_id, log_type in session.execute(query.distinct())]
    # All that needs no answer from Twilio first: it may be slow.
    unknown = [where for where in waiting if _apply(*where, _pending_sids(*where), settings, now)]
    return sum(_read_unknown(*where, settings, clock, sleep) for where in unknown if where[1] != LogType.ERROR)


def _pending_sids(account_id: int, log_type: LogType, since: datetime | None = None) -> list[str]:
    """List the logs that pushes wait for, the latest pushes first."""
    query = (
        select(PushedRecord.sid)
        .where(PushedRecord.account_id == account_id, PushedRecord.log_type == log_type)
        .where(PushedRecord.applied_at.is_(None))
        .group_by(PushedRecord.sid)
        .order_by(func.max(PushedRecord.received_at).desc())
    )
    with session_scope() as session:
        return list(session.scalars(query if since is None else query.where(PushedRecord.received_at > since)))


def _read_unknown(
    account_id: int,
    log_type: LogType,
    settings: Settings,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> int:
    """Read the logs that were pushed lately and are not known, while the request budget has room.

    Returns: how many of them are known then.
    """
    per_minute, since = settings.twilio_max_requests_per_minute, clock() - READ_TIME
    wanted = _pending_sids(account_id, log_type, since)
    if not wanted:
        return 0
    before_request = budget.rate_limiter(account_id, per_minute, clock, sleep)

    def has_room() -> bool:
        with session_scope() as session:
            return budget.has_room(session, account_id, clock(), per_minute)

    try:
        with session_scope() as session:
            credentials = accounts.load(session, account_id, settings)
        with accounts.open_reader(credentials, before_request, clock, sleep, MAX_TRIES, TIMEOUT_SECONDS) as reader:
            for records in _read_records(
                reader, log_type, lambda: _pending_sids(account_id, log_type, since), has_room
            ):
                _ingest_records(account_id, log_type, records, settings, clock())
    except TwilioError as error:
        log.warning("pushed logs could not be read; polls will find them", reason=error.reason)
    return len(wanted) - len(_pending_sids(account_id, log_type, since))


def _read_records(
    reader: TwilioReader, log_type: LogType, wanted: Callable[[], list[str]], has_room: Callable[[], bool]
) -> Iterator[Sequence[msgspec.Raw]]:
    """Find what is wanted: in the newest pages where that is much, then each by its sid."""
    pages = islice(reader.list_pages(log_type), MAX_PAGES)
    while len(wanted()) > MAX_SINGLE_READS and has_room() and (page := next(pages, None)) is not None:
        yield page.records
    for sid in wanted():
        if not has_room():
            return
        record = reader.read_one(log_type, sid)
        if record is not None:
            yield [record]


def _ingest_records(
    account_id: int, log_type: LogType, records: Sequence[msgspec.Raw], settings: Settings, now: datetime
) -> None:
    with session_scope() as session:
        locked = streams.lock_all(session, account_id, {log_type})
        floor = locked[0].complete_from if len(records) > 1 else None
        context = IngestContext(account_id, log_type, LogSource.CALLBACK, settings, floor)
        seen = ingest_page(session, context, {stream.log_type: stream.id for stream in locked}, records, now)
    if seen.changes:
        wake.evaluate()


def delete_expired(session: Session, now: datetime) -> None:
    """Delete pushes that nothing needs any more."""
    session.execute(delete(PushedRecord).where(PushedRecord.applied_at < now - APPLIED_RETENTION))
    session.execute(delete(PushedRecord).where(PushedRecord.received_at < now - PENDING_RETENTION))
