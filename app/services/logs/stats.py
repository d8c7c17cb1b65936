"""Counts logs over time for plots: whole hours from tallies, the rest from the logs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    CTE,
    BigInteger,
    Interval,
    Row,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    select,
    text,
    union_all,
)
from sqlalchemy.orm import Session

from app.enums import OTHER_VALUE
from app.models import Account, DelayTally, Log, TallyDimension
from app.services.logs.columns import COLUMNS
from app.services.logs.search import LogFilter
from app.services.logs.tally_queries import (
    DELIVERED,
    MEASURED,
    SECONDS,
    TALLIED,
    HourSpan,
    Spans,
    SpanSplitter,
    Tally,
    filter_names,
    is_without_sender,
    of_dimensions,
    tally_for,
    within,
)

BUCKETS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
StatsField = Literal[
    "log_type",
    "status",
    "error_code",
    "level",
    "direction",
    "from",
    "to_country",
    "messaging_service_sid",
    "account_sid",
]
"""The fields to count by."""
MAX_VALUES = 100
# Any time at which a UTC day begins.
ORIGIN = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
PERCENTILES = {"p50": 0.5, "p95": 0.95}


@dataclass(frozen=True)
class Count:
    """The number of logs with one value in a bucket."""

    at: datetime
    """The start of the bucket."""
    value: str | int | None
    count: int


class Snapshot:
    """Counts logs in one snapshot of the database, so that its results agree."""

    def __init__(self, session: Session) -> None:
        """Begin a snapshot.

        Args:    session: one that has not read anything yet.
        """
        self._session = session
        self._splitter = SpanSplitter(session)

    def count(self, log_filter: LogFilter, bucket: str, by: str | None, max_values: int = MAX_VALUES) -> list[Count]:
        """Count the logs of each non-empty bucket by the values of a field.

        Args:
            log_filter: with `since` and `until`.
            bucket: of `BUCKETS`.
            by: of `StatsField`, or None for one count per bucket.
            max_values: less frequent values than these are combined as `__other__`.
        Returns: sorted by time, then by value.
        """
        tally = _tally_for(log_filter, bucket, by)
        whole, rest = self._splitter.split(log_filter, usable=tally is not None)
        parts = [_count_logs(log_filter, rest, bucket, by)]
        if tally is not None:
            parts.append(_count_tallies(tally, log_filter, whole, bucket, by))
        rows = self._session.execute(_folded(union_all(*parts).cte("parts"), max_values)).all()
        return [Count(row.at, _read(row.value, by), row.logs) for row in rows]

    def delivery(self, log_filter: LogFilter, bucket: str) -> list[Row[*tuple[Any, ...]]]:
        """Measure message delivery per bucket: final outbound messages, delivered ones, and their delays.

        Returns: rows with `at`, `final`, `delivered`, and `p50` and `p95` in seconds from creation to the final status,
            of the messages that were seen in time; null without any.
        """
        usable = bucket != "minute" and is_without_sender(log_filter)
        whole, rest = self._splitter.split(log_filter, usable=usable)
        parts = [_delays_of_logs(log_filter, rest, bucket)]
        if usable:
            parts.append(_delays(log_filter, whole, bucket))
        return list(self._session.execute(_percentiles(union_all(*parts).cte("parts"))))


def bucket_starts(since: datetime, until: datetime, bucket: str) -> list[datetime]:
    """List where buckets begin: the first with the span, the others on full units, as in `Count.at`. Pure."""
    size = BUCKETS[bucket]
    first = ORIGIN + (since - ORIGIN) // size * size
    count = -(-(until - first) // size)
    return [since, *(first + number * size for number in range(1, count))]


def is_tallied(log_filter: LogFilter, bucket: str, by: str | None) -> bool:
    """Return whether whole hours are counted from tallies: that costs the same, however many logs there are."""
    return _tally_for(log_filter, bucket, by) is not None


def _tally_for(log_filter: LogFilter, bucket: str, by: str | None) -> Tally | None:
    """Return the tally that can answer the query, or None if the logs must be read."""
    return None if bucket == "minute" else tally_for(filter_names(log_filter) | ({by} if by else set()))


def _count_logs(log_filter: LogFilter, spans: Spans, bucket: str, by: str | None) -> Select[*tuple[Any, ...]]:
    value = literal("") if by is None else func.coalesce(cast(COLUMNS[by], Text), "")
    query = select(_bucket(bucket, Log.occurred_at).label("at"), value.label("value"), func.count().label("logs"))
    return (
        query.select_from(Log)
        .join(Account, Account.id == Log.account_id)
        .where(*within(log_filter, spans))
        .group_by("at", "value")
    )


def _count_tallies(
    tally: Tally, log_filter: LogFilter, whole: HourSpan, bucket: str, by: str | None
) -> Select[*tuple[Any, ...]]:
    value = literal("") if by is None else func.coalesce(cast(TALLIED[by], Text), "")
    query = select(_bucket(bucket, tally.hour).label("at"), value.label("value"), func.sum(tally.logs).label("logs"))
    return of_dimensions(query, tally, log_filter, whole).group_by("at", "value")


def _folded(parts: CTE, max_values: int) -> Select[*tuple[Any, ...]]:
    """Combine the parts, and the values beyond the most frequent ones."""
    totals = select(parts.c.value).group_by(parts.c.value)
    top = totals.order_by(func.sum(parts.c.logs).desc(), parts.c.value).limit(max_values).cte("top")
    value = case((top.c.value.is_(None), OTHER_VALUE), else_=func.nullif(top.c.value, ""))
    joined = parts.outerjoin(top, top.c.value == parts.c.value)
    query = select(parts.c.at.label("at"), value.label("value"), _total(parts.c.logs).label("logs"))
    return query.select_from(joined).group_by(text("1"), text("2")).order_by(text("1"), text("2"))


def _total(numbers: Any) -> Any:
    """Sum as an integer: PostgreSQL's sums of integers are decimals."""
    return cast(func.sum(numbers), BigInteger)


def _read(value: str | None, by: str | None) -> str | int | None:
    return int(value) if by == "error_code" and value not in (None, OTHER_VALUE) else value


def _bucket(bucket: str, at: Any) -> Any:
    return func.date_bin(cast(literal(BUCKETS[bucket]), Interval), at, ORIGIN)


def _delays_of_logs(log_filter: LogFilter, spans: Spans, bucket: str) -> Select[*tuple[Any, ...]]:
    return (
        select(
            _bucket(bucket, Log.occurred_at).label("at"),
            SECONDS.label("seconds"),
            func.count().label("logs"),
            func.count().filter(Log.status.in_(DELIVERED)).label("delivered"),
            func.count(Log.final_at).label("timed"),
        )
        .select_from(Log)
        .join(Account, Account.id == Log.account_id)
        .where(*within(log_filter, spans), MEASURED)
        .group_by("at", "seconds")
    )


def _delays(log_filter: LogFilter, whole: HourSpan, bucket: str) -> Select[*tuple[Any, ...]]:
    at, logs = _bucket(bucket, DelayTally.hour), func.sum(DelayTally.logs)
    delivered = func.coalesce(logs.filter(TallyDimension.status.in_(DELIVERED)), 0)
    query = select(
        at.label("at"),
        DelayTally.seconds,
        logs.label("logs"),
        delivered.label("delivered"),
        func.sum(DelayTally.timed).label("timed"),
    )
    return of_dimensions(query, DelayTally, log_filter, whole).group_by("at", DelayTally.seconds)


def _percentiles(parts: CTE) -> Select[*tuple[Any, ...]]:
    """Compute the percentiles of each bucket from counts per delay, as `percentile_cont` does from single values."""
    at, timed, seconds = parts.c.at, func.sum(parts.c.timed), parts.c.seconds
    ranked = (
        select(
            at,
            seconds,
            func.sum(parts.c.logs).label("logs"),
            func.sum(parts.c.delivered).label("delivered"),
            func.sum(timed).over(partition_by=at, order_by=seconds).label("upto"),
            # Null without any, and so are the percentiles then.
            cast(func.nullif(func.sum(timed).over(partition_by=at), 0), BigInteger).label("timed"),
        )
        .group_by(at, seconds)
        .cte("ranked")
    )
    query = select(ranked.c.at, _total(ranked.c.logs).label("final"), _total(ranked.c.delivered).label("delivered"))
    for name, fraction in PERCENTILES.items():
        position = literal(fraction) * (ranked.c.timed - 1)
        low, high = (
            func.min(ranked.c.seconds).filter(ranked.c.upto > bound)
            for bound in (func.floor(position), func.ceil(position))
        )
        query = query.add_columns((low + (high - low) * (position - func.floor(position))).label(name))
    return query.group_by(ranked.c.at, ranked.c.timed).order_by(ranked.c.at)
