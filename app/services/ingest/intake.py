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
    FARTHEST_AHEAD,
    FARTHEST_BACK,
    MalformedRecord,
    content_hash,
    head,
    normalize,
    without_body,
)
from app.services.logs import store
from app.services.logs.types import NormalizedLog
from app.services.logs.versions import pushed

KEPT_RECORD_BYTES = 16 * 1024
LONGEST_REASON = 500
KEPT_RECORDS = 1_000
"""Of odd records only so many are kept for each account and log type, the latest: each poll may bring new ones."""
TRICKLE = 10
TRICKLE_WITHIN = timedelta(hours=1)
"""So many records set aside within so long are odd ones; more mean that Twilio has changed, or that we are wrong."""
TAIL = 20
"""So many logs at the end of a page say how far back it goes."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Origin:
    """Where records come from, and the rules for storing them."""

    account_id: int
    log_type: LogType
    source: LogSource
    settings: Settings
    floor: datetime | None = None
    """What was over before it is not asked for, though a page may hold it."""


@dataclass(frozen=True)
class Seen:
    """What a page of records told."""

    changes: int
    back_to: datetime | None
    """How far back the page goes, in a list that comes newest first; None where none of its logs tells."""


def policy(settings: Settings, now: datetime) -> store.StorePolicy:
    """Say what the settings say about storing."""
    return store.StorePolicy(
        settle=timedelta(hours=settings.settle_hours),
        keep_bodies=settings.store_message_bodies,
        oldest=now - timedelta(days=settings.retention_days),
    )


def take_in(
    session: Session, origin: Origin, stream_ids: Mapping[str, int], records: Sequence[msgspec.Raw], now: datetime
) -> Seen:
    """Store what these records tell that is new; a record that is no log is quarantined, and the rest goes on.

    Args:    stream_ids: the streams that are locked, by log type; those of `also_locked` among them.
    """
    rules = policy(origin.settings, now)
    odd: Odd = []
    heads = _heads(records, odd)
    known = store.lookup(session, origin.account_id, [sid for sid, _, _ in heads])
    told = _told_by(origin.log_type, heads, known, odd, now)
    if not rules.keep_bodies:
        told = [each if isinstance(each, store.Known) else without_body(each) for each in told]
    unchanged = [each for each in told if isinstance(each, store.Known)]
    logs = [
        each
        for each in told
        if isinstance(each, NormalizedLog) and (each.sid in known or not _was_over(each, origin.floor))
    ]
    store.touch(session, unchanged, now, rules)
    changes = store.save(session, origin.account_id, stream_ids, logs, known, origin.source, now, rules)
    fresh = [log.sid for log in logs if log.sid not in known]
    if fresh:
        changes += apply_pushes(session, origin, stream_ids, fresh, now).changes
    if odd:
        _quarantine(session, origin, odd, now)
    return Seen(changes, _back_to(origin.log_type, told))


def _was_over(log: NormalizedLog, floor: datetime | None) -> bool:
    return floor is not None and log.final and max(log.occurred_at, log.changed_at) < floor


Head = tuple[str, int, msgspec.Raw]
"""A record, after its sid and its hash."""
Odd = list[tuple[msgspec.Raw, str]]
"""Records that are no logs, and why."""


def _heads(records: Iterable[msgspec.Raw], odd: Odd) -> list[Head]:
    """Read sids and hashes; set aside what has none."""
    heads: list[Head] = []
    for record in records:
        try:
            heads.append((*head(record), record))
        except MalformedRecord as error:
            odd.append((record, str(error)))
    return heads


def _told_by(
    log_type: LogType, heads: Iterable[Head], known: Mapping[str, store.Known], odd: Odd, now: datetime
) -> list[NormalizedLog | store.Known]:
    """Normalize what is new or changed, and set aside what is no log; the answer keeps the order of the list."""
    told: list[NormalizedLog | store.Known] = []
    for sid, hashed, record in heads:
        found = known.get(sid)
        if found is not None and found.content_hash == hashed:
            told.append(found)
            continue
        try:
            told.append(normalize(log_type, record, hashed, now))
        except MalformedRecord as error:
            odd.append((record, str(error)))
        except Exception as error:  # what nobody thought of must not keep the rest of the list from being read
            odd.append((record, f"the record could not be read: {type(error).__name__}"))
    return told


@dataclass(frozen=True)
class Applied:
    """What became of pushes."""

    sids: int
    """Of how many logs they could be applied."""
    changes: int


def apply_pushes(
    session: Session, origin: Origin, stream_ids: Mapping[str, int], sids: Sequence[str], now: datetime
) -> Applied:
    """Apply what callbacks told of these logs, where the logs are known; an error entry makes its log."""
    query = select(PushedRecord).where(
        PushedRecord.account_id == origin.account_id,
        PushedRecord.log_type == origin.log_type,
        store.among(PushedRecord.sid, sids),
        PushedRecord.applied_at.is_(None),
    )
    pushes = session.scalars(query.order_by(PushedRecord.received_at, PushedRecord.id)).all()
    if not pushes:
        return Applied(0, 0)
    stored = store.load(session, origin.account_id, list({push.sid for push in pushes}))
    states = {sid: found.log for sid, found in stored.items()}
    rules = policy(origin.settings, now)
    changes = 0
    odd: Odd = []
    for turn in _turns(pushes):
        told = _told_in_turn(origin.log_type, turn, states, odd, now)
        known = store.lookup(session, origin.account_id, list(told))
        saved = list(told.values())
        changes += store.save(session, origin.account_id, stream_ids, saved, known, LogSource.CALLBACK, now, rules)
        states |= told
        for push in turn:
            if push.sid in states or origin.log_type == LogType.ERROR:
                push.applied_at = now
    if odd:
        _quarantine(session, origin, odd, now)
    return Applied(len({push.sid for push in pushes if push.applied_at}), changes)


def _turns(pushes: Sequence[PushedRecord]) -> list[list[PushedRecord]]:
    """Sort pushes into turns, each log once in a turn: so rules see every state of it, one after another."""
    turns: list[list[PushedRecord]] = []
    seen: Counter[str] = Counter()
    for push in pushes:
        if seen[push.sid] == len(turns):
            turns.append([])
        turns[seen[push.sid]].append(push)
        seen[push.sid] += 1
    return turns


def _told_in_turn(
    log_type: LogType, turn: Sequence[PushedRecord], states: Mapping[str, NormalizedLog], odd: Odd, now: datetime
) -> dict[str, NormalizedLog]:
    """Say what the pushes of a turn make of their logs, and set aside what can make none."""
    told = {}
    for push in turn:
        try:
            log = _told(log_type, states.get(push.sid), push, now)
        except MalformedRecord as error:
            odd.append((msgspec.Raw(msgspec.json.encode(push.fields)), str(error)))
            continue
        if log is not None:
            told[push.sid] = log
    return told


def _told(log_type: LogType, state: NormalizedLog | None, push: PushedRecord, now: datetime) -> NormalizedLog | None:
    """Say what a push makes of a log; None where it tells nothing new, or of a log that is not known.

    Raises: MalformedRecord where it is an error entry of odd shape.
    """
    if log_type == LogType.ERROR:
        return None if state is not None else _entry(push, now)
    if state is None:
        return None
    at = push.fields.get("at")
    told = pushed(
        state,
        push.fields["status"],
        push.fields.get("error_code"),
        datetime.fromisoformat(at) if at else None,
        push.received_at,
    )
    duration = push.fields.get("duration")
    if told is not None and log_type == LogType.CALL and duration is not None and told.final:
        told = msgspec.structs.replace(told, duration_seconds=duration)
    return told


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
    return FARTHEST_BACK < at <= now + FARTHEST_AHEAD


def also_locked(log_type: LogType) -> tuple[LogType, ...]:
    """Error entries give calls their codes: whoever stores them writes changes of calls."""
    return (LogType.CALL,) if log_type == LogType.ERROR else ()


def _back_to(log_type: LogType, logs: Sequence[NormalizedLog | store.Known]) -> datetime | None:
    """Find how far back a page goes: the latest time among the last of its logs, since a few may be out of order.

    Messages that were never sent have no place in the order of sending; a page of nothing else tells nothing.
    """
    times = [(item.occurred_at, item.sent_at) for item in logs if log_type != LogType.MESSAGE or item.sent_at]
    return max((max(occurred_at, sent_at or occurred_at) for occurred_at, sent_at in times[-TAIL:]), default=None)


def _quarantine(session: Session, origin: Origin, odd: list[tuple[msgspec.Raw, str]], now: datetime) -> None:
    """Keep odd records with the reason; without their text, where bodies are not to be stored."""
    kept = origin.log_type != LogType.MESSAGE or origin.settings.store_message_bodies
    rows = {}
    for record, reason in odd:
        hashed = content_hash(record)
        text = bytes(record)[:KEPT_RECORD_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd") if kept else ""
        rows[hashed] = {
            "account_id": origin.account_id,
            "log_type": origin.log_type.value,
            "content_hash": hashed,
            "reason": reason[:LONGEST_REASON].replace("\0", "\ufffd"),
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
        log.warning("records that cannot be logs were set aside", log_type=origin.log_type.value, count=new)
        metrics.count(session, {metrics.LOGS_MALFORMED.key(log_type=origin.log_type.value): float(new)})


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


def forget_odd(session: Session) -> None:
    """Delete the odd records beyond the latest."""
    key = (QuarantinedRecord.account_id, QuarantinedRecord.log_type)
    number = func.row_number().over(partition_by=key, order_by=QuarantinedRecord.seen_at.desc())
    numbered = select(*key, QuarantinedRecord.content_hash, number.label("number")).subquery()
    session.execute(
        delete(QuarantinedRecord).where(
            QuarantinedRecord.account_id == numbered.c.account_id,
            QuarantinedRecord.log_type == numbered.c.log_type,
            QuarantinedRecord.content_hash == numbered.c.content_hash,
            numbered.c.number > KEPT_RECORDS,
        )
    )
