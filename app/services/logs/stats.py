"""Counts logs over time, for plots."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Interval, Row, cast, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.enums import LogType
from app.models import Account, Log
from app.services.logs.search import LogFilter, conditions

BUCKETS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
FIELDS: dict[str, InstrumentedAttribute[Any]] = {
    "log_type": Log.log_type,
    "status": Log.status,
    "error_code": Log.error_code,
    "level": Log.level,
    "direction": Log.direction,
    "from": Log.from_,
    "to_country": Log.to_country,
    "messaging_service_sid": Log.messaging_service_sid,
    "account_sid": Account.sid,
}
"""What can be counted by."""
MOST_VALUES = 100
OTHER = "__other__"
"""Stands for the values beyond the most frequent ones."""
# Any moment at which a day begins in UTC.
ORIGIN = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
DELIVERED = ("delivered", "read")


@dataclass(frozen=True)
class Count:
    """How many logs of one value a bucket holds."""

    at: datetime
    """When the bucket begins."""
    value: str | int | None
    count: int


def count(session: Session, wanted: LogFilter, bucket: str, by: str | None) -> list[Count]:
    """Count the logs of each bucket that has any, by the values of a field.

    Args:    bucket: of `BUCKETS`; by: of `FIELDS`, or None for one count a bucket.
    Returns: in order of time, then by value; values beyond the 100 most frequent together as `__other__`.
    """
    at = _bucket(bucket)
    column: Any = literal(None) if by is None else FIELDS[by]
    query = select(at.label("at"), column.label("value"), func.count().label("count")).select_from(Log)
    if by == "account_sid":
        query = query.join(Account, Account.id == Log.account_id)
    rows = session.execute(query.where(*conditions(wanted)).group_by("at", "value")).all()
    return _fold(rows)


def _fold(rows: Any) -> list[Count]:
    totals: Counter[Any] = Counter()
    for row in rows:
        totals[row.value] += row.count
    kept = {value for value, _ in totals.most_common(MOST_VALUES)}
    folded: Counter[tuple[datetime, Any]] = Counter()
    for row in rows:
        folded[row.at, row.value if row.value in kept else OTHER] += row.count
    ordered = sorted(folded.items(), key=lambda item: (item[0][0], item[0][1] is None, str(item[0][1])))
    return [Count(at, value, number) for (at, value), number in ordered]


def _bucket(bucket: str) -> Any:
    return func.date_bin(cast(literal(BUCKETS[bucket]), Interval), Log.occurred_at, ORIGIN)


def delivery(session: Session, wanted: LogFilter, bucket: str) -> list[Row[*tuple[Any, ...]]]:
    """Measure how messages fared: in each bucket the final outbound ones, those delivered, and how long they took.

    Returns: rows with `at`, `final`, `delivered`, and `p50` and `p95` in seconds from created to final.
    """
    seconds = func.extract("epoch", Log.changed_at - Log.occurred_at)
    query = (
        select(
            _bucket(bucket).label("at"),
            func.count().label("final"),
            func.count().filter(Log.status.in_(DELIVERED)).label("delivered"),
            func.percentile_cont(0.5).within_group(seconds).label("p50"),
            func.percentile_cont(0.95).within_group(seconds).label("p95"),
        )
        .where(*conditions(wanted), Log.log_type == LogType.MESSAGE, Log.final, Log.direction.like("outbound%"))
        .group_by("at")
        .order_by("at")
    )
    return list(session.execute(query))
