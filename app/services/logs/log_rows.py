"""Rows of the table `logs`: their columns, and how they become records and records become rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, ColumnElement, Text, any_, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.bulk import fetch_rows
from app.enums import LogType
from app.models import Log
from app.services import log_fields
from app.services.logs.types import NormalizedLog, Stored
from app.services.logs.versions import reread_at

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


class StoredState(NamedTuple):
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
class NewChange:
    """A change to write."""

    log_id: int
    is_first: bool
    log: NormalizedLog


_LOOKUP = """
    SELECT sid, id, content_hash, status, final, occurred_at, sent_at, changed_at, reread_at IS NOT NULL
    FROM logs WHERE account_id = %(account_id)s AND sid = ANY(%(sids)s)
"""


def lookup(session: Session, account_id: int, sids: Sequence[str]) -> dict[str, StoredState]:
    """Return which of these logs are stored, by SID."""
    rows = fetch_rows(session, _LOOKUP, {"account_id": account_id, "sids": list(sids)})
    return {row[0]: StoredState._make(row[1:]) for row in rows}


def any_of(column: InstrumentedAttribute[Any], values: Sequence[str]) -> ColumnElement[bool]:
    """Match any of the values with a single parameter."""
    return column == any_(literal(list(values), ARRAY(Text)))


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


def mutable_values(
    log: NormalizedLog, final_at: datetime | None, now: datetime, policy: StorePolicy
) -> tuple[object, ...]:
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
