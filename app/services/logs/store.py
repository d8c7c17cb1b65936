"""Stores logs and their changes: one row per log, newer versions only, a few statements per page.

The caller locks the streams, so that changes of a stream are committed in the order of their ids and no two
transactions insert the same log.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from app import metrics
from app.bulk import Unnest, copy_rows, update_rows
from app.enums import LogSource, LogType
from app.services import log_fields
from app.services.logs import call_codes, partitions
from app.services.logs.log_rows import (
    CHANGE_COLUMNS,
    KEY_COLUMNS,
    LOG_COLUMNS,
    MUTABLE_COLUMNS,
    NewChange,
    StoredState,
    StorePolicy,
    load,
    mutable_values,
)
from app.services.logs.types import NormalizedLog
from app.services.logs.versions import first_final_at, merge, newest, next_final_at, reread_at, visible_changes

_DONE = Unnest("done", occurred_at="timestamptz", id="bigint")


def mark_read(session: Session, unchanged: Iterable[StoredState], now: datetime, policy: StorePolicy) -> None:
    """Record that logs that are not final were read and had not changed."""
    rows = [
        (
            known.occurred_at,
            known.id,
            now,
            reread_at(
                known.status, known.final, known.occurred_at, known.sent_at, known.changed_at, now, policy.settle
            ),
        )
        for known in unchanged
        if known.is_open
    ]
    update_rows(session, "logs", KEY_COLUMNS, {"read_at": "timestamptz", "reread_at": "timestamptz"}, rows)


def save(
    session: Session,
    account_id: int,
    stream_ids: Mapping[str, int],
    logs: Sequence[NormalizedLog],
    known: Mapping[str, StoredState],
    source: LogSource,
    now: datetime,
    policy: StorePolicy,
) -> int:
    """Store these records of one log type, and a change for each that rules must see.

    Args:
        stream_ids: log type to stream, of this account.
        logs: in Twilio's order, newest first; a SID may be repeated.
        known: the result of `lookup`.
    Returns: the number of changes written.
    """
    by_sid: dict[str, NormalizedLog] = {}
    for log in reversed(logs):
        if log.occurred_at >= policy.oldest:
            by_sid[log.sid] = newest(by_sid[log.sid], log) if log.sid in by_sid else log
    fresh = [log for sid, log in by_sid.items() if sid not in known]
    new_changes = _insert(session, account_id, fresh, source, now, policy)
    new_changes += _update(
        session, account_id, [log for sid, log in by_sid.items() if sid in known], known, now, policy
    )
    _write_changes(session, stream_ids, new_changes, source, now)
    linked = [log for log in fresh if call_codes.is_call_error(log)]
    if linked:
        call_changes = call_codes.assign(session, account_id, linked)
        _write_changes(session, stream_ids, call_changes, source, now)
        new_changes += call_changes
    _count(fresh, new_changes, source, session)
    return len(new_changes)


def _insert(
    session: Session, account_id: int, logs: list[NormalizedLog], source: LogSource, now: datetime, policy: StorePolicy
) -> list[NewChange]:
    """Insert new logs. A call gets the code of error entries that were stored before it."""
    if not logs:
        return []
    partitions.ensure(session, {partitions.month_of(log.occurred_at) for log in logs})
    entries = call_codes.error_entries(session, account_id, [log.sid for log in logs if log.log_type == LogType.CALL])
    ids = _take_ids(session, "log_ids", len(logs))
    new_changes, rows = [], []
    for log_id, log in zip(ids, logs, strict=True):
        new_changes.append(NewChange(log_id, True, log))
        latest = log
        for code, message in entries.get(log.sid, ()):
            latest = msgspec.structs.replace(log, error_code=code, error_message=message)
            new_changes.append(NewChange(log_id, False, latest))
        ours = (log.occurred_at, log_id, account_id, log.sid, log.log_type.value, now, source.value)
        rows.append((*ours, *mutable_values(latest, first_final_at(latest, now), now, policy)))
    copy_rows(session, "logs", LOG_COLUMNS, rows)
    return new_changes


def _update(
    session: Session,
    account_id: int,
    logs: list[NormalizedLog],
    known: Mapping[str, StoredState],
    now: datetime,
    policy: StorePolicy,
) -> list[NewChange]:
    """Update stored logs. What rules cannot see is no new change."""
    if not logs:
        return []
    oldest = min(known[log.sid].occurred_at for log in logs)
    stored = load(session, account_id, [log.sid for log in logs], oldest)
    new_changes, rows = [], []
    for log in logs:
        found = stored[log.sid]
        before, after = found.log, merge(found.log, log)
        changes = visible_changes(before, after)
        if not policy.keep_bodies and before.text is None:
            # The body was erased after its evaluation. Its return is no change.
            changes.pop("text", None)
        log_id = known[log.sid].id
        if changes:
            new_changes.append(NewChange(log_id, False, after))
        elif not policy.keep_bodies:
            after = msgspec.structs.replace(after, text=before.text)
        final_at = next_final_at(found, after, now, policy.poll_interval)
        rows.append((before.occurred_at, log_id, *mutable_values(after, final_at, now, policy)))
    update_rows(session, "logs", KEY_COLUMNS, MUTABLE_COLUMNS, rows)
    return new_changes


def _take_ids(session: Session, sequence: str, count: int) -> list[int]:
    return list(
        session.scalars(
            text("SELECT nextval(:name) FROM generate_series(1, :count)"), {"name": sequence, "count": count}
        )
    )


def _write_changes(
    session: Session, stream_ids: Mapping[str, int], new_changes: list[NewChange], source: LogSource, now: datetime
) -> None:
    """Append new changes to the evaluation's queue, in order."""
    rows = [
        (
            stream_ids[change.log.log_type],
            change_id,
            change.log.occurred_at,
            change.log_id,
            change.is_first,
            *log_fields.changing_values_of(change.log),
            change.log.final,
            change.log.changed_at,
            now,
            source.value,
        )
        for change_id, change in zip(
            _take_ids(session, "change_ids", len(new_changes)) if new_changes else [], new_changes, strict=True
        )
    ]
    copy_rows(session, "log_changes", CHANGE_COLUMNS, rows)


def _count(fresh: list[NormalizedLog], new_changes: list[NewChange], source: LogSource, session: Session) -> None:
    increments: dict[metrics.Key, float] = {}
    for log_type, count in Counter(log.log_type for log in fresh).items():
        increments[metrics.LOGS_INGESTED.key(log_type=log_type, source=source)] = count
    for log_type, count in Counter(change.log.log_type for change in new_changes if not change.is_first).items():
        increments[metrics.LOGS_CHANGED.key(log_type=log_type)] = count
    metrics.count(session, increments)


def erase_bodies(session: Session, messages: Sequence[tuple[datetime, int]]) -> None:
    """Erase the bodies of messages, given as (occurred_at, log_id)."""
    if messages:
        session.execute(
            text(
                f"UPDATE logs SET text_ = NULL FROM {_DONE}"
                " WHERE logs.occurred_at = done.occurred_at AND logs.id = done.id"
            ),
            _DONE.values(messages),
        )
