"""Ingests a page of records: detects new and changed ones, normalizes and stores them, quarantines malformed ones."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.orm import Session

from app import metrics
from app.config import Settings
from app.enums import LogSource, LogType
from app.models import Account, PushedRecord, QuarantinedRecord
from app.services.ingest.decoding import MalformedRecord, content_hash, head
from app.services.ingest.normalize import EARLIEST, MAX_CLOCK_SKEW, normalize, without_body
from app.services.logs import store
from app.services.logs.types import NormalizedLog
from app.services.logs.versions import apply_status_push

MAX_RECORD_BYTES = 16 * 1024
MAX_REASON_LENGTH = 500
MAX_QUARANTINED = 1_000
"""Of malformed records, the latest are kept for each account and log type: every poll may find new ones."""
TRICKLE = 10
TRICKLE_WITHIN = timedelta(hours=1)
"""A few quarantined records within this time are exceptions. More mean that Twilio has changed or that we are wrong."""
TAIL_LOGS = 20
"""This many logs at the end of a page show how far back it goes."""

log = structlog.get_logger()


@dataclass(frozen=True)
class IngestContext:
    """The source of records, and the rules for storing them."""

    account_id: int
    log_type: LogType
    source: LogSource
    settings: Settings
    floor: datetime | None = None
    """Logs that ended before this are ignored, even if a page contains them."""


@dataclass(frozen=True)
class PageResult:
    """The result of ingesting a page of records."""

    changes: int
    back_to: datetime | None
    """How far back the page goes, in a newest-first list; None if none of its logs shows it."""


def store_policy(settings: Settings, now: datetime) -> store.StorePolicy:
    """Return the storage policy from the settings."""
    return store.StorePolicy(
        settle=timedelta(hours=settings.settle_hours),
        poll_interval=timedelta(seconds=settings.poll_interval_seconds),
        keep_bodies=settings.store_message_bodies,
        oldest=now - timedelta(days=settings.retention_days),
    )


def ingest_page(
    session: Session,
    context: IngestContext,
    stream_ids: Mapping[str, int],
    records: Sequence[msgspec.Raw],
    now: datetime,
) -> PageResult:
    """Store new and changed records. A malformed record is quarantined; the rest is stored.

    Args:    stream_ids: the locked streams by log type, including those of `dependent_types`.
    """
    policy = store_policy(context.settings, now)
    malformed: MalformedRecords = []
    heads = _read_heads(records, malformed)
    known = store.lookup(session, context.account_id, [sid for sid, _, _ in heads])
    parsed = _normalize_changed(context.log_type, heads, known, malformed, now)
    if not policy.keep_bodies:
        parsed = [each if isinstance(each, store.Known) else without_body(each) for each in parsed]
    unchanged = [each for each in parsed if isinstance(each, store.Known)]
    logs = [
        each
        for each in parsed
        if isinstance(each, NormalizedLog) and (each.sid in known or not _ended_before(each, context.floor))
    ]
    store.mark_read(session, unchanged, now, policy)
    changes = store.save(session, context.account_id, stream_ids, logs, known, context.source, now, policy)
    new_sids = [log.sid for log in logs if log.sid not in known]
    if new_sids:
        changes += apply_pushes(session, context, stream_ids, new_sids, now).changes
    if malformed:
        _quarantine(session, context, malformed, now)
    return PageResult(changes, _back_to(context.log_type, parsed))


def _ended_before(log: NormalizedLog, floor: datetime | None) -> bool:
    return floor is not None and log.final and max(log.occurred_at, log.changed_at) < floor


RecordHead = tuple[str, int, msgspec.Raw]
"""SID, hash and record."""
MalformedRecords = list[tuple[msgspec.Raw, str]]
"""Malformed records, with the reason."""


def _read_heads(records: Iterable[msgspec.Raw], malformed: MalformedRecords) -> list[RecordHead]:
    """Read SIDs and hashes; collect records that have none."""
    heads: list[RecordHead] = []
    for record in records:
        try:
            heads.append((*head(record), record))
        except MalformedRecord as error:
            malformed.append((record, str(error)))
    return heads


def _normalize_changed(
    log_type: LogType,
    heads: Iterable[RecordHead],
    known: Mapping[str, store.Known],
    malformed: MalformedRecords,
    now: datetime,
) -> list[NormalizedLog | store.Known]:
    """Normalize new and changed records, and collect malformed ones. The result keeps the order of the list."""
    parsed: list[NormalizedLog | store.Known] = []
    for sid, hashed, record in heads:
        found = known.get(sid)
        if found is not None and found.content_hash == hashed:
            parsed.append(found)
            continue
        try:
            parsed.append(normalize(log_type, record, hashed, now))
        except MalformedRecord as error:
            malformed.append((record, str(error)))
        except Exception as error:  # noqa: BLE001 - an unexpected error must not block the rest of the page
            malformed.append((record, f"the record could not be read: {type(error).__name__}"))
    return parsed


@dataclass(frozen=True)
class ApplyResult:
    """The result of applying callbacks."""

    sids: int
    """The number of logs that callbacks were applied to."""
    changes: int


def apply_pushes(
    session: Session, context: IngestContext, stream_ids: Mapping[str, int], sids: Sequence[str], now: datetime
) -> ApplyResult:
    """Apply callbacks to these logs if they are known. A callback about an error entry creates its log."""
    query = select(PushedRecord).where(
        PushedRecord.account_id == context.account_id,
        PushedRecord.log_type == context.log_type,
        store.any_of(PushedRecord.sid, sids),
        PushedRecord.applied_at.is_(None),
    )
    pushes = session.scalars(query.order_by(PushedRecord.received_at, PushedRecord.id)).all()
    if not pushes:
        return ApplyResult(0, 0)
    stored = store.load(session, context.account_id, list({push.sid for push in pushes}))
    states = {sid: found.log for sid, found in stored.items()}
    policy = store_policy(context.settings, now)
    changes = 0
    malformed: MalformedRecords = []
    for round_ in _rounds(pushes):
        updated = _apply_round(context.log_type, round_, states, malformed, now)
        known = store.lookup(session, context.account_id, list(updated))
        saved = list(updated.values())
        changes += store.save(session, context.account_id, stream_ids, saved, known, LogSource.CALLBACK, now, policy)
        states |= updated
        for push in round_:
            if push.sid in states or context.log_type == LogType.ERROR:
                push.applied_at = now
    if malformed:
        _quarantine(session, context, malformed, now)
    return ApplyResult(len({push.sid for push in pushes if push.applied_at}), changes)


def _rounds(pushes: Sequence[PushedRecord]) -> list[list[PushedRecord]]:
    """Split callbacks into rounds, each log at most once per round, so that rules see its states one by one."""
    rounds: list[list[PushedRecord]] = []
    seen: Counter[str] = Counter()
    for push in pushes:
        if seen[push.sid] == len(rounds):
            rounds.append([])
        rounds[seen[push.sid]].append(push)
        seen[push.sid] += 1
    return rounds


def _apply_round(
    log_type: LogType,
    round_: Sequence[PushedRecord],
    states: Mapping[str, NormalizedLog],
    malformed: MalformedRecords,
    now: datetime,
) -> dict[str, NormalizedLog]:
    """Apply one round of callbacks, and collect malformed ones."""
    updated = {}
    for push in round_:
        try:
            log = _apply_push(log_type, states.get(push.sid), push, now)
        except MalformedRecord as error:
            malformed.append((msgspec.Raw(msgspec.json.encode(push.fields)), str(error)))
            continue
        if log is not None:
            updated[push.sid] = log
    return updated


def _apply_push(
    log_type: LogType, state: NormalizedLog | None, push: PushedRecord, now: datetime
) -> NormalizedLog | None:
    """Apply a callback to a log. None if it adds nothing or the log is unknown.

    Raises: MalformedRecord for a malformed error entry.
    """
    if log_type == LogType.ERROR:
        return None if state is not None else _entry(push, now)
    if state is None:
        return None
    at = push.fields.get("at")
    updated = apply_status_push(
        state,
        push.fields["status"],
        push.fields.get("error_code"),
        datetime.fromisoformat(at) if at else None,
        push.received_at,
    )
    duration = push.fields.get("duration")
    if updated is not None and log_type == LogType.CALL and duration is not None and updated.final:
        updated = msgspec.structs.replace(updated, duration_seconds=duration)
    return updated


def _entry(push: PushedRecord, now: datetime) -> NormalizedLog:
    """Build the log of an error entry from a callback. Records from the error log replace it, regardless of their
    dates.

    Raises: MalformedRecord.
    """
    fields = push.fields
    if fields.get("date_generated") is None or not _has_time(fields, now):
        fields = {**fields, "date_generated": push.received_at.isoformat(timespec="seconds")}
    record = msgspec.Raw(msgspec.json.encode(fields))
    entry = normalize(LogType.ERROR, record, content_hash(record), now)
    return msgspec.structs.replace(entry, updated_at=entry.occurred_at - timedelta(days=1), pushed_at=push.received_at)


def _has_time(fields: Mapping[str, object], now: datetime) -> bool:
    """Return whether the time in a callback is plausible; otherwise its arrival time is used."""
    at = datetime.fromisoformat(str(fields["date_generated"]))
    return EARLIEST < at <= now + MAX_CLOCK_SKEW


def dependent_types(log_type: LogType) -> tuple[LogType, ...]:
    """Error entries set the codes of calls, so storing them writes changes of calls."""
    return (LogType.CALL,) if log_type == LogType.ERROR else ()


def _back_to(log_type: LogType, logs: Sequence[NormalizedLog | store.Known]) -> datetime | None:
    """Find how far back a page goes: the latest time among its last logs, because a few may be out of order.

    Messages that were never sent have no position in a list sorted by sending time. A page of only such messages gives
    None.
    """
    times = [(item.occurred_at, item.sent_at) for item in logs if log_type != LogType.MESSAGE or item.sent_at]
    return max((max(occurred_at, sent_at or occurred_at) for occurred_at, sent_at in times[-TAIL_LOGS:]), default=None)


def _quarantine(
    session: Session, context: IngestContext, malformed: list[tuple[msgspec.Raw, str]], now: datetime
) -> None:
    """Store malformed records with the reason; without their text if bodies are not stored."""
    keep_text = context.log_type != LogType.MESSAGE or context.settings.store_message_bodies
    rows = {}
    for record, reason in malformed:
        hashed = content_hash(record)
        text = bytes(record)[:MAX_RECORD_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd") if keep_text else ""
        rows[hashed] = {
            "account_id": context.account_id,
            "log_type": context.log_type.value,
            "content_hash": hashed,
            "reason": reason[:MAX_REASON_LENGTH].replace("\0", "\ufffd"),
            "record": text,
            "first_seen_at": now,
            "seen_at": now,
        }
    statement = insert(QuarantinedRecord).values(list(rows.values()))
    seen = session.execute(
        statement.on_conflict_do_update(
            index_elements=["account_id", "log_type", "content_hash"], set_={"seen_at": statement.excluded.seen_at}
        ).returning(QuarantinedRecord.first_seen_at)
    )
    new = sum(first_seen_at == now for first_seen_at in seen.scalars())
    if new:
        log.warning("records that cannot be logs were set aside", log_type=context.log_type.value, count=new)
        metrics.count(session, {metrics.LOGS_MALFORMED.key(log_type=context.log_type.value): float(new)})


@dataclass(frozen=True)
class SetAside:
    """Newly quarantined records of an account."""

    account_sid: str
    count: int
    since: datetime
    reason: str
    """The latest reason."""


def set_aside(session: Session, since: datetime) -> list[SetAside]:
    """Count the records quarantined since then, by enabled account."""
    reason = func.array_agg(aggregate_order_by(QuarantinedRecord.reason, QuarantinedRecord.first_seen_at.desc()))
    query = select(Account.sid, func.count(), func.min(QuarantinedRecord.first_seen_at), reason[1])
    query = query.join(Account, Account.id == QuarantinedRecord.account_id)
    recent = (QuarantinedRecord.seen_at >= since, QuarantinedRecord.first_seen_at >= since)
    rows = session.execute(query.where(Account.enabled, *recent).group_by(Account.sid).order_by(Account.sid))
    return [SetAside(*row) for row in rows]


def trim_quarantine(session: Session) -> None:
    """Delete malformed records beyond the maximum."""
    key = (QuarantinedRecord.account_id, QuarantinedRecord.log_type)
    number = func.row_number().over(partition_by=key, order_by=QuarantinedRecord.seen_at.desc())
    numbered = select(*key, QuarantinedRecord.content_hash, number.label("number")).subquery()
    session.execute(
        delete(QuarantinedRecord).where(
            QuarantinedRecord.account_id == numbered.c.account_id,
            QuarantinedRecord.log_type == numbered.c.log_type,
            QuarantinedRecord.content_hash == numbered.c.content_hash,
            numbered.c.number > MAX_QUARANTINED,
        )
    )
