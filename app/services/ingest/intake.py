"""Takes records in: tells new ones from known ones, normalizes and stores the new, sets aside what is no log."""

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
from app.services.ingest.normalize import (
    EARLIEST,
    MAX_CLOCK_SKEW,
    MalformedRecord,
    content_hash,
    head,
    normalize,
    without_body,
)
from app.services.logs import store
from app.services.logs.types import NormalizedLog
from app.services.logs.versions import apply_status_push

MAX_RECORD_BYTES = 16 * 1024
MAX_REASON_LENGTH = 500
MAX_QUARANTINED = 1_000
"""Of odd records only so many are kept for each account and log type, the latest: each poll may bring new ones."""
TRICKLE = 10
TRICKLE_WITHIN = timedelta(hours=1)
"""So many records set aside within so long are odd ones; more mean that Twilio has changed, or that we are wrong."""
TAIL_LOGS = 20
"""So many logs at the end of a page say how far back it goes."""

log = structlog.get_logger()


@dataclass(frozen=True)
class IngestContext:
    """Where records come from, and the rules for storing them."""

    account_id: int
    log_type: LogType
    source: LogSource
    settings: Settings
    floor: datetime | None = None
    """What was over before it is not asked for, though a page may hold it."""


@dataclass(frozen=True)
class PageResult:
    """What a page of records told."""

    changes: int
    back_to: datetime | None
    """How far back the page goes, in a list that comes newest first; None where none of its logs tells."""


def store_policy(settings: Settings, now: datetime) -> store.StorePolicy:
    """Say what the settings say about storing."""
    return store.StorePolicy(
        settle=timedelta(hours=settings.settle_hours),
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
    """Store what these records tell that is new; a record that is no log is quarantined, and the rest goes on.

    Args:    stream_ids: the streams that are locked, by log type; those of `dependent_types` among them.
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
"""A record, after its sid and its hash."""
MalformedRecords = list[tuple[msgspec.Raw, str]]
"""Records that are no logs, and why."""


def _read_heads(records: Iterable[msgspec.Raw], malformed: MalformedRecords) -> list[RecordHead]:
    """Read sids and hashes; set aside what has none."""
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
    """Normalize what is new or changed, and set aside what is no log; the answer keeps the order of the list."""
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
        except Exception as error:  # what nobody thought of must not keep the rest of the list from being read
            malformed.append((record, f"the record could not be read: {type(error).__name__}"))
    return parsed


@dataclass(frozen=True)
class ApplyResult:
    """What became of pushes."""

    sids: int
    """Of how many logs they could be applied."""
    changes: int


def apply_pushes(
    session: Session, context: IngestContext, stream_ids: Mapping[str, int], sids: Sequence[str], now: datetime
) -> ApplyResult:
    """Apply what callbacks told of these logs, where the logs are known; an error entry makes its log."""
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
    """Sort pushes into turns, each log once in a turn: so rules see every state of it, one after another."""
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
    """Say what the pushes of a turn make of their logs, and set aside what can make none."""
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
    """Say what a push makes of a log; None where it tells nothing new, or of a log that is not known.

    Raises: MalformedRecord where it is an error entry of odd shape.
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
    """Make the log of a pushed error entry. What the error log lists of it later is newer, whatever its dates say.

    Raises: MalformedRecord where it can be none.
    """
    fields = push.fields
    if fields.get("date_generated") is None or not _has_time(fields, now):
        fields = {**fields, "date_generated": push.received_at.isoformat(timespec="seconds")}
    record = msgspec.Raw(msgspec.json.encode(fields))
    entry = normalize(LogType.ERROR, record, content_hash(record), now)
    return msgspec.structs.replace(entry, updated_at=entry.occurred_at - timedelta(days=1), pushed_at=push.received_at)


def _has_time(fields: Mapping[str, object], now: datetime) -> bool:
    """Say whether the time that a push tells is one that a log can have; else its arrival counts."""
    at = datetime.fromisoformat(str(fields["date_generated"]))
    return EARLIEST < at <= now + MAX_CLOCK_SKEW


def dependent_types(log_type: LogType) -> tuple[LogType, ...]:
    """Error entries give calls their codes: whoever stores them writes changes of calls."""
    return (LogType.CALL,) if log_type == LogType.ERROR else ()


def _back_to(log_type: LogType, logs: Sequence[NormalizedLog | store.Known]) -> datetime | None:
    """Find how far back a page goes: the latest time among the last of its logs, since a few may be out of order.

    Messages that were never sent have no place in the order of sending; a page of nothing else tells nothing.
    """
    times = [(item.occurred_at, item.sent_at) for item in logs if log_type != LogType.MESSAGE or item.sent_at]
    return max((max(occurred_at, sent_at or occurred_at) for occurred_at, sent_at in times[-TAIL_LOGS:]), default=None)


def _quarantine(
    session: Session, context: IngestContext, malformed: list[tuple[msgspec.Raw, str]], now: datetime
) -> None:
    """Keep odd records with the reason; without their text, where bodies are not to be stored."""
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
    """Records of an account that were newly set aside."""

    account_sid: str
    count: int
    since: datetime
    reason: str
    """Of the latest."""


def set_aside(session: Session, since: datetime) -> list[SetAside]:
    """Count the records that were first set aside since then, by enabled account."""
    reason = func.array_agg(aggregate_order_by(QuarantinedRecord.reason, QuarantinedRecord.first_seen_at.desc()))
    query = select(Account.sid, func.count(), func.min(QuarantinedRecord.first_seen_at), reason[1])
    query = query.join(Account, Account.id == QuarantinedRecord.account_id)
    recent = (QuarantinedRecord.seen_at >= since, QuarantinedRecord.first_seen_at >= since)
    rows = session.execute(query.where(Account.enabled, *recent).group_by(Account.sid).order_by(Account.sid))
    return [SetAside(*row) for row in rows]


def trim_quarantine(session: Session) -> None:
    """Delete the odd records beyond the latest."""
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
