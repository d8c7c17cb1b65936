"""Stores logs and their changes: one row per log, newer versions only, a few statements per page.

The caller locks the streams, so that changes of a stream are committed in the order of their ids and no two
transactions insert the same log.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ARRAY, ColumnElement, Text, any_, literal, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from app import metrics
from app.database import Unnest, copy_rows, fetch_rows, update_rows
from app.enums import LogSource, LogType
from app.models import Log
from app.services import log_fields
from app.services.logs import partitions
from app.services.logs.types import NormalizedLog, Stored
from app.services.logs.versions import (
    first_final_at,
    merge,
    newest,
    next_final_at,
    reread_at,
    visible_changes,
)

# Columns that a newer version may set, with their SQL types.
MUTABLE_COLUMNS = {
    **log_fields.COLUMNS,
    "changed_at": "timestamptz",
    "updated_at": "timestamptz",
    "sent_at": "timestamptz",
    "pushed_at": "timestamptz",
    "final": "bool",
    "final_at": "timestamptz",
    "read_at": "timestamptz",
    "reread_at": "timestamptz",
    "content_hash": "bigint",
    "rest": "bytea",
}
_DONE = Unnest("done", occurred_at="timestamptz", id="bigint")
KEY_COLUMNS = {"occurred_at": "timestamptz", "id": "bigint"}
LOG_COLUMNS = (*KEY_COLUMNS, "account_id", "sid", "log_type", "first_seen_at", "source", *MUTABLE_COLUMNS)
CHANGE_COLUMNS = (
    "stream_id",
    "id",
    "occurred_at",
    "log_id",
    "is_first",
    *log_fields.CHANGE_COLUMNS,
    "final",
    "changed_at",
    "seen_at",
    "source",
)


@dataclass(frozen=True)
class StorePolicy:
    """The settings that affect storing."""

    settle: timedelta
    """How long after it was sent a log that is not final is reread."""
    poll_interval: timedelta
    keep_bodies: bool
    """If False, a body is kept only until it has been evaluated."""
    oldest: datetime
    """Logs that occurred earlier are not stored."""


class Known(NamedTuple):
    """A stored log, reduced to what shows whether a record is new."""

    id: int
    content_hash: int
    status: str | None
    final: bool
    occurred_at: datetime
    sent_at: datetime | None
    changed_at: datetime
    is_open: bool
    """It will be reread."""


@dataclass(frozen=True)
class _Version:
    """A change to write."""

    log_id: int
    is_first: bool
    log: NormalizedLog


_LOOKUP = """
    SELECT sid, id, content_hash, status, final, occurred_at, sent_at, changed_at, reread_at IS NOT NULL
    FROM logs WHERE account_id = %(account_id)s AND sid = ANY(%(sids)s)
"""


def lookup(session: Session, account_id: int, sids: Sequence[str]) -> dict[str, Known]:
    """Return which of these logs are stored, by SID."""
    rows = fetch_rows(session, _LOOKUP, {"account_id": account_id, "sids": list(sids)})
    return {row[0]: Known._make(row[1:]) for row in rows}


def any_of(column: InstrumentedAttribute[Any], values: Sequence[str]) -> ColumnElement[bool]:
    """Match any of the values with a single parameter."""
    return column == any_(literal(list(values), ARRAY(Text)))


def mark_read(session: Session, unchanged: Iterable[Known], now: datetime, policy: StorePolicy) -> None:
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
    known: Mapping[str, Known],
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
    versions = _insert(session, account_id, fresh, source, now, policy)
    versions += _update(session, account_id, [log for sid, log in by_sid.items() if sid in known], known, now, policy)
    _write_changes(session, stream_ids, versions, source, now)
    linked = [log for log in fresh if _is_call_error(log)]
    if linked:
        call_versions = _assign_call_codes(session, account_id, linked)
        _write_changes(session, stream_ids, call_versions, source, now)
        versions += call_versions
    _count(fresh, versions, source, session)
    return len(versions)


def _insert(
    session: Session, account_id: int, logs: list[NormalizedLog], source: LogSource, now: datetime, policy: StorePolicy
) -> list[_Version]:
    """Insert new logs. A call gets the code of error entries that were stored before it."""
    if not logs:
        return []
    partitions.ensure(session, {partitions.month_of(log.occurred_at) for log in logs})
    entries = _error_entries(session, account_id, [log.sid for log in logs if log.log_type == LogType.CALL])
    ids = _take_ids(session, "log_ids", len(logs))
    versions, rows = [], []
    for log_id, log in zip(ids, logs, strict=True):
        versions.append(_Version(log_id, True, log))
        latest = log
        for code, message in entries.get(log.sid, ()):
            latest = msgspec.structs.replace(log, error_code=code, error_message=message)
            versions.append(_Version(log_id, False, latest))
        ours = (log.occurred_at, log_id, account_id, log.sid, log.log_type.value, now, source.value)
        rows.append((*ours, *_mutable(latest, first_final_at(latest, now), now, policy)))
    copy_rows(session, "logs", LOG_COLUMNS, rows)
    return versions


def _update(
    session: Session,
    account_id: int,
    logs: list[NormalizedLog],
    known: Mapping[str, Known],
    now: datetime,
    policy: StorePolicy,
) -> list[_Version]:
    """Update stored logs. A change that rules cannot see creates no version."""
    if not logs:
        return []
    oldest = min(known[log.sid].occurred_at for log in logs)
    stored = load(session, account_id, [log.sid for log in logs], oldest)
    versions, rows = [], []
    for log in logs:
        found = stored[log.sid]
        before, after = found.log, merge(found.log, log)
        changes = visible_changes(before, after)
        if not policy.keep_bodies and before.text is None:
            # The body was erased after its evaluation. Its return is no change.
            changes.pop("text", None)
        log_id = known[log.sid].id
        if changes:
            versions.append(_Version(log_id, False, after))
        elif not policy.keep_bodies:
            after = msgspec.structs.replace(after, text=before.text)
        final_at = next_final_at(found, after, now, policy.poll_interval)
        rows.append((before.occurred_at, log_id, *_mutable(after, final_at, now, policy)))
    update_rows(session, "logs", KEY_COLUMNS, MUTABLE_COLUMNS, rows)
    return versions


def load(session: Session, account_id: int, sids: Sequence[str], oldest: datetime | None = None) -> dict[str, Stored]:
    """Load stored logs as records, by SID.

    Args:    oldest: when the oldest of them occurred, if known; it limits the search.
    """
    query = select(Log).where(Log.account_id == account_id, any_of(Log.sid, sids))
    if oldest is not None:
        query = query.where(Log.occurred_at >= oldest)
    logs = session.scalars(query.execution_options(populate_existing=True))
    return {log.sid: Stored(log.id, stored_record(log), log.first_seen_at, log.read_at, log.final_at) for log in logs}


def stored_record(log: Log) -> NormalizedLog:
    """Return a stored log as a record."""
    return NormalizedLog(
        sid=log.sid,
        log_type=LogType(log.log_type),
        **dict(zip(log_fields.ATTRIBUTES, log_fields.columns_of(log), strict=True)),
        occurred_at=log.occurred_at,
        changed_at=log.changed_at,
        updated_at=log.updated_at,
        sent_at=log.sent_at,
        pushed_at=log.pushed_at,
        final=log.final,
        rest=log.rest,
        content_hash=log.content_hash,
    )


def _mutable(log: NormalizedLog, final_at: datetime | None, now: datetime, policy: StorePolicy) -> tuple[object, ...]:
    """Return the values of `MUTABLE_COLUMNS` in order."""
    return (
        *log_fields.values_of(log),
        log.changed_at,
        log.updated_at,
        log.sent_at,
        log.pushed_at,
        log.final,
        final_at,
        now,
        reread_at(log.status, log.final, log.occurred_at, log.sent_at, log.changed_at, now, policy.settle),
        log.content_hash,
        log.rest,
    )


def _take_ids(session: Session, sequence: str, count: int) -> list[int]:
    return list(
        session.scalars(
            text("SELECT nextval(:name) FROM generate_series(1, :count)"), {"name": sequence, "count": count}
        )
    )


def _is_call_error(log: NormalizedLog) -> bool:
    """Return whether this is an error-level entry about a call, the only source of a call's code."""
    return (
        log.log_type == LogType.ERROR
        and log.level == "error"
        and log.error_code is not None
        and (log.resource_sid or "").startswith("CA")
    )


def _error_entries(session: Session, account_id: int, sids: list[str]) -> dict[str, list[tuple[int, str | None]]]:
    """Load the codes and messages of the error-level entries about these calls, oldest first, by call."""
    found: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
    if sids:
        rows = session.execute(
            select(Log.resource_sid, Log.error_code, Log.error_message)
            .where(Log.account_id == account_id, any_of(Log.resource_sid, sids))
            .where(Log.log_type == LogType.ERROR, Log.level == "error", Log.error_code.is_not(None))
            .order_by(Log.occurred_at, Log.sid)
        )
        for sid, code, message in rows:
            if sid is not None and code is not None:
                found[sid].append((code, message))
    return found


def _assign_call_codes(session: Session, account_id: int, entries: list[NormalizedLog]) -> list[_Version]:
    """Create a version of each stored call for every new error entry about it. The newest entry's code applies."""
    entries = sorted(entries, key=lambda entry: (entry.occurred_at, entry.sid))
    sids = sorted({entry.resource_sid for entry in entries if entry.resource_sid})
    calls = load(session, account_id, sids)
    newest_codes = _error_entries(session, account_id, list(calls))
    versions = []
    for entry in entries:
        if entry.resource_sid in calls:
            call = calls[entry.resource_sid]
            coded = msgspec.structs.replace(call.log, error_code=entry.error_code, error_message=entry.error_message)
            versions.append(_Version(call.id, False, coded))
    rows = [(call.log.occurred_at, call.id, *newest_codes[sid][-1]) for sid, call in calls.items()]
    update_rows(session, "logs", KEY_COLUMNS, {"error_code": "int", "error_message": "text"}, rows)
    return versions


def _write_changes(
    session: Session, stream_ids: Mapping[str, int], versions: list[_Version], source: LogSource, now: datetime
) -> None:
    """Append the versions to the evaluation's queue, in order."""
    rows = [
        (
            stream_ids[version.log.log_type],
            change_id,
            version.log.occurred_at,
            version.log_id,
            version.is_first,
            *log_fields.changing_values_of(version.log),
            version.log.final,
            version.log.changed_at,
            now,
            source.value,
        )
        for change_id, version in zip(
            _take_ids(session, "change_ids", len(versions)) if versions else [], versions, strict=True
        )
    ]
    copy_rows(session, "log_changes", CHANGE_COLUMNS, rows)


def _count(fresh: list[NormalizedLog], versions: list[_Version], source: LogSource, session: Session) -> None:
    increments: dict[metrics.Key, float] = {}
    for log_type, count in Counter(log.log_type for log in fresh).items():
        increments[metrics.LOGS_INGESTED.key(log_type=log_type, source=source)] = count
    for log_type, count in Counter(version.log.log_type for version in versions if not version.is_first).items():
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
