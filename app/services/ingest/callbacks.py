"""Stores Twilio's callbacks once each, applies them to their logs, and fetches logs that are unknown.

Callbacks are only faster: polls find the same later. A callback never replaces a newer state.
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
from app.services.ingest import budget, streams
from app.services.ingest.context import IngestContext, dependent_types
from app.services.ingest.decoding import content_hash
from app.services.ingest.intake import ingest_page
from app.services.ingest.push_intake import apply_pushes
from app.services.ingest.reader import Runtime, open_with_budget
from app.services.twilio.client import TwilioReader
from app.services.twilio.pushes import Push
from app.utils.clock import Clock, utc_now
from app.utils.crashpoints import crashpoint

LOCK_TIMEOUT = "100ms"
"""How long a response to Twilio waits for other writers. After that, a worker applies the callback."""
READ_TIME = timedelta(minutes=2)
"""How long after a callback an unknown log is fetched by its SID; later, polls find it."""
MAX_SINGLE_READS = 10
"""If more logs than this are unknown, the newest are listed: a page holds a thousand for one request."""
MAX_PAGES = 5
MAX_TRIES = 2
TIMEOUT_SECONDS = 10.0
"""Callbacks of other accounts wait meanwhile."""
APPLIED_RETENTION = timedelta(hours=24)
"""How long repeated callbacks are recognized: Twilio repeats one within minutes."""
PENDING_RETENTION = timedelta(days=36)
"""After this, a push is dropped if its log never appeared."""

log = structlog.get_logger()


def accept(pushes: Iterable[Push], settings: Settings, now: datetime) -> int:
    """Store callbacks and apply them immediately if no lock has to be waited for. Return how many were new.

    Callbacks of accounts that are not watched are dropped.
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


def last_received(session: Session, account_ids: Sequence[int]) -> dict[int, datetime]:
    """Return when the last callback of each account came. Applied ones are kept for a day, pending ones for 36."""
    latest = func.max(PushedRecord.received_at).label("at")
    query = select(PushedRecord.account_id, latest).where(PushedRecord.account_id.in_(account_ids))
    return {row.account_id: row.at for row in session.execute(query.group_by(PushedRecord.account_id))}


def _store_pushes(session: Session, account_id: int, pushes: Sequence[Push], now: datetime) -> int:
    """Store each push once, even if it arrives repeatedly."""
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
    """PostgreSQL's JSON cannot store NUL characters."""
    return {name: value.replace("\0", "\ufffd") if isinstance(value, str) else value for name, value in payload.items()}


def _apply_at_once(account_id: int, pushes: Sequence[Push], settings: Settings, now: datetime) -> None:
    """Apply pushes of one account, unless a poll locks its streams for longer than a response may take."""
    sids: dict[LogType, set[str]] = defaultdict(set)
    for push in pushes:
        sids[push.log_type].add(push.sid)
    try:
        waiting = [
            _apply(account_id, log_type, sorted(sids[log_type]), settings, now, LOCK_TIMEOUT)
            for log_type in sorted(sids)
        ]
    except OperationalError:
        waiting = [1]
    if any(waiting):
        wake.callbacks()


def _apply(
    account_id: int, log_type: LogType, sids: Sequence[str], settings: Settings, now: datetime, lock_timeout: str = "0"
) -> int:
    """Apply the pending pushes of these logs. Return how many still wait because their log is unknown."""
    with session_scope() as session:
        session.execute(text(f"SET LOCAL lock_timeout = '{lock_timeout}'"))
        locked = streams.lock_all(session, account_id, {log_type, *dependent_types(log_type)})
        context = IngestContext(account_id, log_type, LogSource.CALLBACK, settings)
        applied = apply_pushes(session, context, {stream.log_type: stream.id for stream in locked}, sids, now)
    if applied.changes:
        wake.evaluate()
    return len(sids) - applied.sids


def read_pending(settings: Settings, clock: Clock = utc_now, sleep: Callable[[float], None] = time.sleep) -> int:
    """Apply pending pushes, and fetch the unknown logs that they are about. Return how many were fetched."""
    now = clock()
    with session_scope() as session:
        query = select(PushedRecord.account_id, PushedRecord.log_type).where(PushedRecord.applied_at.is_(None))
        waiting = [(account_id, LogType(log_type)) for account_id, log_type in session.execute(query.distinct())]
    # First everything that needs no response from Twilio: it may be slow.
    unknown = [where for where in waiting if _apply(*where, _pending_sids(*where), settings, now)]
    runtime = Runtime(settings, clock, sleep)
    return sum(_read_unknown(*where, runtime) for where in unknown if where[1] != LogType.ERROR)


def _pending_sids(account_id: int, log_type: LogType, since: datetime | None = None) -> list[str]:
    """List the logs of pending pushes, latest first."""
    query = (
        select(PushedRecord.sid)
        .where(PushedRecord.account_id == account_id, PushedRecord.log_type == log_type)
        .where(PushedRecord.applied_at.is_(None))
        .group_by(PushedRecord.sid)
        .order_by(func.max(PushedRecord.received_at).desc())
    )
    with session_scope() as session:
        return list(session.scalars(query if since is None else query.where(PushedRecord.received_at > since)))


def _read_unknown(account_id: int, log_type: LogType, runtime: Runtime) -> int:
    """Fetch unknown logs of recent pushes while the request budget has room.

    Returns: how many of them are known now.
    """
    settings, clock = runtime.settings, runtime.clock
    since = clock() - READ_TIME
    wanted = _pending_sids(account_id, log_type, since)
    if not wanted:
        return 0

    def has_room() -> bool:
        with session_scope() as session:
            return budget.has_room(session, account_id, clock(), settings.twilio_max_requests_per_minute)

    def pending() -> list[str]:
        return _pending_sids(account_id, log_type, since)

    try:
        with open_with_budget(account_id, runtime, tries=MAX_TRIES, timeout_seconds=TIMEOUT_SECONDS) as reader:
            for records in _read_records(reader, log_type, pending, has_room):
                _ingest_records(account_id, log_type, records, settings, clock())
    except TwilioError as error:
        log.warning("pushed logs could not be read; polls will find them", reason=error.reason)
    return len(wanted) - len(pending())


def _read_records(
    reader: TwilioReader, log_type: LogType, wanted: Callable[[], list[str]], has_room: Callable[[], bool]
) -> Iterator[Sequence[msgspec.Raw]]:
    """Fetch the wanted records: in the newest pages if there are many, then one by one."""
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
    """Delete expired pushes."""
    session.execute(delete(PushedRecord).where(PushedRecord.applied_at < now - APPLIED_RETENTION))
    session.execute(delete(PushedRecord).where(PushedRecord.received_at < now - PENDING_RETENTION))
