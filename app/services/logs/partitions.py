"""Monthly partitions of logs and their changes: created when a log needs one, dropped when they are too old."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from app.bulk import Unnest
from app.database import AdvisoryLock, get_engine

PARTITIONED = ("logs", "log_changes", "log_texts")

PARTITION = re.compile(r"\w+_p(\d{4})(\d{2})")
_NAMES = Unnest("asked", name="text")
_GONE = Unnest("gone", occurred_at="timestamptz", log_id="bigint")
CHILDREN = text(
    "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
    " JOIN pg_class parent ON parent.oid = inhparent WHERE parent.relname = ANY(:tables)"
)

Month = tuple[int, int]


def month_of(at: datetime) -> Month:
    """Return the UTC year and month of an aware time."""
    return at.astimezone(UTC).year, at.astimezone(UTC).month


def month_start(month: Month) -> datetime:
    """Return the first moment of a month."""
    return datetime(month[0], month[1], 1, tzinfo=UTC)


def next_month(month: Month) -> Month:
    """Return the next month."""
    return (month[0] + 1, 1) if month[1] == 12 else (month[0], month[1] + 1)


def _name(table: str, month: Month) -> str:
    return f"{table}_p{month[0]:04d}{month[1]:02d}"


def ensure(session: Session, months: Iterable[Month]) -> None:
    """Create missing partitions, in a separate transaction.

    They are attached rather than created in place, so that readers and writers of other months are not blocked.
    """
    by_name = {_name(PARTITIONED[-1], month): month for month in months}
    names = session.scalars(
        text(f"SELECT name FROM {_NAMES} WHERE to_regclass(name) IS NULL"), _NAMES.values((name,) for name in by_name)
    )
    missing = sorted(by_name[name] for name in names)
    if not missing:
        return
    with get_engine().begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AdvisoryLock.PARTITIONS})
        create(connection, missing)


def create(connection: Connection, months: Iterable[Month]) -> None:
    """Create the partitions of some months that are missing."""
    for month in months:
        for table in PARTITIONED:
            name = _name(table, month)
            if connection.scalar(text("SELECT to_regclass(:name) IS NULL"), {"name": name}):
                start, end = month_start(month).isoformat(), month_start(next_month(month)).isoformat()
                connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
                connection.execute(
                    text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')")
                )


def list_months(connection: Connection) -> list[Month]:
    """List the months that have partitions, in order."""
    found = (PARTITION.fullmatch(name) for name in connection.scalars(CHILDREN, {"tables": list(PARTITIONED)}))
    return sorted({(int(each[1]), int(each[2])) for each in found if each})


def drop_before(session: Session, cutoff: datetime) -> list[str]:
    """Drop the partitions that end at or before `cutoff`; return their names."""
    names = session.scalars(CHILDREN, {"tables": list(PARTITIONED)}).all()
    dropped = []
    for name in sorted(names):
        found = PARTITION.fullmatch(name)
        if found and month_start(next_month((int(found[1]), int(found[2])))) <= cutoff:
            session.execute(text(f"DROP TABLE {name}"))
            dropped.append(name)
    return dropped


def trim_before(session: Session, cutoff: datetime, limit: int) -> int:
    """Delete up to `limit` logs before `cutoff`, oldest first, from the month that cannot be dropped yet.

    Returns: the number of deleted logs.
    """
    rows = session.execute(
        text(
            "DELETE FROM logs WHERE (occurred_at, id) IN (SELECT occurred_at, id FROM logs"
            " WHERE occurred_at < :cutoff ORDER BY occurred_at LIMIT :limit) RETURNING occurred_at, id"
        ),
        {"cutoff": cutoff, "limit": limit},
    ).all()
    for table in PARTITIONED[1:] if rows else ():
        session.execute(
            text(
                f"DELETE FROM {table} AS kept USING {_GONE}"
                " WHERE kept.occurred_at = gone.occurred_at AND kept.log_id = gone.log_id"
            ),
            _GONE.values(rows),
        )
    return len(rows)
