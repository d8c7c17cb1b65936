"""The queue of log changes for evaluation: one evaluator per stream, its next batch and its position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.bulk import Unnest, fetch_rows
from app.services.log_fields import version_columns
from app.services.rules.types import LogVersion

BATCH_SIZE = 5_000
"""Maximum number of changes evaluated in one transaction."""
SMALLEST_BATCH = 500
"""Also the first. Smaller ones cost more than they save: most of their time is spent on what every batch costs."""
BATCH_SECONDS = 0.2
"""Edits of rules wait for running batches, so a batch must not take much longer than this on any machine."""


def pending_streams(session: Session) -> list[int]:
    """List the streams with changes that are not evaluated yet."""
    return list(
        session.scalars(
            text(
                "SELECT stream_id FROM stream_evaluations AS done WHERE EXISTS"
                " (SELECT FROM log_changes WHERE stream_id = done.stream_id AND id > done.change_id) ORDER BY stream_id"
            )
        )
    )


@dataclass(frozen=True)
class BatchLock:
    """The right to evaluate a stream until the end of the transaction."""

    stream_id: int
    change_id: int
    """The last evaluated change."""
    complete_until: datetime | None
    """How far the stream was complete when it was locked: later reads include all changes up to there."""
    limit: int
    """Maximum number of changes to evaluate now."""


class Pace:
    """Sizes batches by the time that earlier ones took."""

    def __init__(self) -> None:
        self.limit = SMALLEST_BATCH

    def note(self, count: int, seconds: float) -> None:
        """Record how long a batch took. A small batch counts only if it took too long."""
        if count >= self.limit // 2 or seconds > BATCH_SECONDS:
            fitting = int(count * BATCH_SECONDS / max(seconds, 0.001))
            self.limit = max(SMALLEST_BATCH, min(BATCH_SIZE, fitting, 2 * self.limit))


def lock_batch(session: Session, stream_id: int, limit: int) -> BatchLock | None:
    """Lock a stream for evaluation; return None if another evaluator has locked it."""
    row = session.execute(
        text(
            "SELECT done.change_id, streams.complete_until FROM stream_evaluations AS done"
            " JOIN streams ON streams.id = done.stream_id WHERE done.stream_id = :stream_id"
            " FOR NO KEY UPDATE OF done SKIP LOCKED"
        ),
        {"stream_id": stream_id},
    ).one_or_none()
    return None if row is None else BatchLock(stream_id, row[0], row[1], limit)


VERSION_COLUMNS = f"""
    change.id, change.log_id, change.is_first, log.account_id, account.sid, log.sid, log.log_type,
    {version_columns("change")}, log.occurred_at, change.changed_at, change.final
"""
"""The columns of a `LogVersion` in its order, from `log_changes AS change`, `logs AS log`, `accounts AS account`."""

_READ = f"""
    SELECT {VERSION_COLUMNS}
    FROM (
        SELECT * FROM log_changes WHERE stream_id = %(stream_id)s AND id > %(after)s ORDER BY id LIMIT %(count)s
    ) AS change
    JOIN logs AS log ON log.occurred_at = change.occurred_at AND log.id = change.log_id
    JOIN accounts AS account ON account.id = log.account_id
    ORDER BY change.id
"""

_ASKED = Unnest("asked", occurred_at="timestamptz", log_id="bigint", change_id="bigint")
_READ_BEFORE = f"""
    SELECT {VERSION_COLUMNS}
    FROM {_ASKED.for_driver}
    CROSS JOIN LATERAL (
        SELECT * FROM log_changes WHERE log_changes.occurred_at = asked.occurred_at
        AND log_changes.log_id = asked.log_id AND log_changes.id < asked.change_id
        ORDER BY log_changes.id DESC LIMIT 1
    ) AS change
    JOIN logs AS log ON log.occurred_at = change.occurred_at AND log.id = change.log_id
    JOIN accounts AS account ON account.id = log.account_id
"""


def read_changes(session: Session, batch_lock: BatchLock) -> list[LogVersion]:
    """Read the next changes of a stream in the order in which they were stored, at most `limit`."""
    # The tables grow faster than their statistics: a wrong plan may read a whole month to find a page.
    session.execute(text("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"))
    return _versions(
        session, _READ, {"stream_id": batch_lock.stream_id, "after": batch_lock.change_id, "count": batch_lock.limit}
    )


def versions_before(session: Session, changes: Sequence[LogVersion]) -> list[LogVersion | None]:
    """Find the previous version of the log of each change; None for a log's first.

    Args:    changes: all of a batch, in order.
    """
    asked = {}
    for change in changes:
        if not change.is_first and change.log_id not in asked:
            asked[change.log_id] = change
    rows = [(change.occurred_at, change.log_id, change.change_id) for change in asked.values()]
    stored = _versions(session, _READ_BEFORE, _ASKED.values(rows)) if rows else []
    last: dict[int, LogVersion] = {version.log_id: version for version in stored}
    before: list[LogVersion | None] = []
    for change in changes:
        before.append(None if change.is_first else last.get(change.log_id))
        last[change.log_id] = change
    return before


_READ_LOG = f"""
    SELECT {VERSION_COLUMNS}
    FROM log_changes AS change
    JOIN logs AS log ON log.occurred_at = change.occurred_at AND log.id = change.log_id
    JOIN accounts AS account ON account.id = log.account_id
    WHERE change.log_id = %(log_id)s AND change.occurred_at = %(occurred_at)s
    ORDER BY change.id
"""


def versions_of(session: Session, log_id: int, occurred_at: datetime) -> list[LogVersion]:
    """Read all versions of a log, in the order in which they were stored."""
    return _versions(session, _READ_LOG, {"log_id": log_id, "occurred_at": occurred_at})


def _versions(session: Session, query: str, values: Mapping[str, object]) -> list[LogVersion]:
    return list(map(LogVersion._make, fetch_rows(session, query, values)))


def finish_batch(session: Session, batch_lock: BatchLock, changes: Sequence[LogVersion]) -> None:
    """Record how far the stream is evaluated."""
    caught_up = len(changes) < batch_lock.limit
    session.execute(
        text(
            "UPDATE stream_evaluations SET change_id = :change_id,"
            " complete_until = CASE WHEN :caught_up THEN :complete_until ELSE complete_until END"
            " WHERE stream_id = :stream_id"
        ),
        {
            "stream_id": batch_lock.stream_id,
            "change_id": changes[-1].change_id if changes else batch_lock.change_id,
            "caught_up": caught_up,
            "complete_until": batch_lock.complete_until,
        },
    )


def advance_idle_streams(session: Session) -> None:
    """Record that the evaluation has caught up with streams without pending changes."""
    session.execute(
        text(
            "UPDATE stream_evaluations AS done SET complete_until = streams.complete_until FROM streams"
            " WHERE streams.id = done.stream_id AND done.complete_until IS DISTINCT FROM streams.complete_until"
            " AND NOT EXISTS (SELECT FROM log_changes WHERE stream_id = done.stream_id AND id > done.change_id)"
            " AND done.stream_id IN (SELECT stream_id FROM stream_evaluations FOR NO KEY UPDATE SKIP LOCKED)"
        )
    )
