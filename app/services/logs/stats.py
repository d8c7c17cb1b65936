"""Counts logs over time for plots: whole hours from tallies, the rest from the logs."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    Interval,
    Row,
    Select,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.orm import Session

from app.enums import LogType
from app.models import Account, DelayTally, Log, LogTally, SenderTally, TallyDimension
from app.services.log_fields import FIELDS
from app.services.logs import tallies
from app.services.logs.columns import COLUMNS
from app.services.logs.search import LogFilter, conditions

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
_TALLIED: dict[str, Any] = {
    "log_type": TallyDimension.log_type,
    **{field.name: getattr(TallyDimension, field.column) for field in FIELDS if field.tallied},
    "from": SenderTally.sender,
    "account_sid": Account.sid,
    "final": TallyDimension.final,
}
"""The columns of tallies for these fields, and for other filters."""
FIELDS_WITHOUT_SENDER = {"to_country", "messaging_service_sid"}
MAX_VALUES = 100
OTHER = "__other__"
"""Combines the values beyond the most frequent ones."""
# Any time at which a UTC day begins.
ORIGIN = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
DELIVERED = ("delivered", "read")
PERCENTILES = {"p50": 0.5, "p95": 0.95}

Tally = type[LogTally] | type[SenderTally] | type[DelayTally]
Spans = list[tuple[datetime, datetime]]


@dataclass(frozen=True)
class Count:
    """The number of logs with one value in a bucket."""

    at: datetime
    """The start of the bucket."""
    value: str | int | None
    count: int


@dataclass(frozen=True)
class _HourSpan:
    """A span of whole hours with exceptions."""

    first: datetime
    last: datetime
    without: list[datetime]


class Snapshot:
    """Counts the logs of one moment: what is asked of it fits together."""

    def __init__(self, session: Session) -> None:
        """Begin a snapshot.

        Args:    session: one that has not read anything yet.
        """
        tallies.use_snapshot(session)
        self._session = session
        self._untallied: dict[tuple[datetime, datetime], list[datetime]] = {}

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
        whole, rest = self._spans(log_filter, usable=tally is not None)
        parts = [_count_logs(log_filter, rest, bucket, by)]
        if tally is not None:
            parts.append(_add_up(tally, log_filter, whole, bucket, by))
        rows = self._session.execute(_folded(union_all(*parts).cte("parts"), max_values)).all()
        return [Count(row.at, _read(row.value, by), row.logs) for row in rows]

    def delivery(self, log_filter: LogFilter, bucket: str) -> list[Row[*tuple[Any, ...]]]:
        """Measure message delivery per bucket: final outbound messages, delivered ones, and their delays.

        Returns: rows with `at`, `final`, `delivered`, and `p50` and `p95` in seconds from creation to the final status.
        """
        usable = bucket != "minute" and _filters(log_filter) <= _TALLIED.keys() - {"from"}
        whole, rest = self._spans(log_filter, usable=usable)
        parts = [_delays_of_logs(log_filter, rest, bucket)]
        if usable:
            parts.append(_delays(log_filter, whole, bucket))
        return list(self._session.execute(_measured(union_all(*parts).cte("parts"))))

    def _spans(self, log_filter: LogFilter, *, usable: bool) -> tuple[_HourSpan, Spans]:
        """Split a span into hours with valid tallies and spans to be read from the logs."""
        assert log_filter.since is not None
        assert log_filter.until is not None
        since, until = log_filter.since, log_filter.until
        hours = tallies.next_hour(since), tallies.hour_start(until)
        if not usable or hours[0] >= hours[1]:
            return _HourSpan(since, since, []), [(since, until)]
        if hours not in self._untallied:
            self._untallied[hours] = tallies.untallied(self._session, *hours)
        return _split(since, until, _HourSpan(*hours, self._untallied[hours]))


def is_tallied(log_filter: LogFilter, bucket: str, by: str | None) -> bool:
    """Return whether whole hours are counted from tallies: that costs the same, however many logs there are."""
    return _tally_for(log_filter, bucket, by) is not None


def _tally_for(log_filter: LogFilter, bucket: str, by: str | None) -> Tally | None:
    """Return the tally that can answer the query, or None if the logs must be read."""
    asked = _filters(log_filter) | ({by} if by else set())
    if bucket == "minute" or not asked <= _TALLIED.keys():
        return None
    if "from" not in asked:
        return LogTally
    return None if asked & FIELDS_WITHOUT_SENDER else SenderTally


def _filters(log_filter: LogFilter) -> set[str]:
    """Return the names of all filters that are set except the span, as tallies name them."""
    names = {field.name for field in fields(log_filter) if getattr(log_filter, field.name) not in ((), None)}
    return {name.rstrip("_") for name in names} - {"since", "until"}


def _split(since: datetime, until: datetime, whole: _HourSpan) -> tuple[_HourSpan, Spans]:
    """Add to the whole hours of a span what lies between and beside them."""
    rest: Spans = [(since, whole.first)]
    for hour in whole.without:
        if rest[-1][1] == hour:
            rest[-1] = (rest[-1][0], hour + tallies.HOUR)
        else:
            rest.append((hour, hour + tallies.HOUR))
    rest.append((whole.last, until))
    return whole, [span for span in rest if span[0] < span[1]]


def _count_logs(log_filter: LogFilter, spans: Spans, bucket: str, by: str | None) -> Select[*tuple[Any, ...]]:
    value = literal("") if by is None else func.coalesce(cast(COLUMNS[by], Text), "")
    query = select(_bucket(bucket, Log.occurred_at).label("at"), value.label("value"), func.count().label("logs"))
    return (
        query.select_from(Log)
        .join(Account, Account.id == Log.account_id)
        .where(*_within(log_filter, spans))
        .group_by("at", "value")
    )


def _within(log_filter: LogFilter, spans: Spans) -> list[ColumnElement[bool]]:
    inside = [and_(Log.occurred_at >= since, Log.occurred_at < until) for since, until in spans]
    return [*conditions(log_filter), or_(false(), *inside)]


def _add_up(
    tally: Tally, log_filter: LogFilter, whole: _HourSpan, bucket: str, by: str | None
) -> Select[*tuple[Any, ...]]:
    value = literal("") if by is None else func.coalesce(cast(_TALLIED[by], Text), "")
    query = select(_bucket(bucket, tally.hour).label("at"), value.label("value"), func.sum(tally.logs).label("logs"))
    return _of_kinds(query, tally, log_filter, whole).group_by("at", "value")


def _of_kinds(
    query: Select[*tuple[Any, ...]], tally: Tally, log_filter: LogFilter, whole: _HourSpan
) -> Select[*tuple[Any, ...]]:
    """Filter a query of tallies by dimensions and hours."""
    query = query.select_from(tally).join(TallyDimension, TallyDimension.id == tally.kind_id)
    query = query.join(Account, Account.id == TallyDimension.account_id)
    for name in _filters(log_filter):
        values = getattr(log_filter, "from_" if name == "from" else name)
        query = query.where(_TALLIED[name].in_(values if isinstance(values, tuple) else (values,)))
    query = query.where(tally.hour >= whole.first, tally.hour < whole.last)
    return query.where(tally.hour.not_in(whole.without)) if whole.without else query


def _folded(parts: CTE, max_values: int) -> Select[*tuple[Any, ...]]:
    """Combine the parts, and the values beyond the most frequent ones."""
    totals = select(parts.c.value).group_by(parts.c.value)
    top = totals.order_by(func.sum(parts.c.logs).desc(), parts.c.value).limit(max_values).cte("top")
    value = case((top.c.value.is_(None), OTHER), else_=func.nullif(top.c.value, ""))
    joined = parts.outerjoin(top, top.c.value == parts.c.value)
    query = select(parts.c.at.label("at"), value.label("value"), _total(parts.c.logs).label("logs"))
    return query.select_from(joined).group_by(text("1"), text("2")).order_by(text("1"), text("2"))


def _total(numbers: Any) -> Any:
    """Sum as an integer: PostgreSQL's sums of integers are decimals."""
    return cast(func.sum(numbers), BigInteger)


def _read(value: str | None, by: str | None) -> str | int | None:
    return int(value) if by == "error_code" and value not in (None, OTHER) else value


def _bucket(bucket: str, at: Any) -> Any:
    return func.date_bin(cast(literal(BUCKETS[bucket]), Interval), at, ORIGIN)


def _delays_of_logs(log_filter: LogFilter, spans: Spans, bucket: str) -> Select[*tuple[Any, ...]]:
    return (
        select(
            _bucket(bucket, Log.occurred_at).label("at"),
            cast(func.floor(func.extract("epoch", Log.changed_at - Log.occurred_at)), Integer).label("seconds"),
            func.count().label("logs"),
            func.count().filter(Log.status.in_(DELIVERED)).label("delivered"),
        )
        .select_from(Log)
        .join(Account, Account.id == Log.account_id)
        .where(*_within(log_filter, spans))
        .where(Log.log_type == LogType.MESSAGE, Log.final, Log.direction.like("outbound%"))
        .group_by("at", "seconds")
    )


def _delays(log_filter: LogFilter, whole: _HourSpan, bucket: str) -> Select[*tuple[Any, ...]]:
    at, logs = _bucket(bucket, DelayTally.hour), func.sum(DelayTally.logs)
    delivered = func.coalesce(logs.filter(TallyDimension.status.in_(DELIVERED)), 0)
    query = select(at.label("at"), DelayTally.seconds, logs.label("logs"), delivered.label("delivered"))
    return _of_kinds(query, DelayTally, log_filter, whole).group_by("at", DelayTally.seconds)


def _measured(parts: CTE) -> Select[*tuple[Any, ...]]:
    """Compute the percentiles of each bucket from counts per delay, as `percentile_cont` does from single values."""
    at, logs, seconds = parts.c.at, func.sum(parts.c.logs), parts.c.seconds
    ranked = (
        select(
            at,
            seconds,
            func.sum(parts.c.delivered).label("delivered"),
            func.sum(logs).over(partition_by=at, order_by=seconds).label("upto"),
            cast(func.sum(logs).over(partition_by=at), BigInteger).label("final"),
        )
        .group_by(at, seconds)
        .cte("ranked")
    )
    query = select(ranked.c.at, ranked.c.final, _total(ranked.c.delivered).label("delivered"))
    for name, fraction in PERCENTILES.items():
        position = literal(fraction) * (ranked.c.final - 1)
        low, high = (
            func.min(ranked.c.seconds).filter(ranked.c.upto > bound)
            for bound in (func.floor(position), func.ceil(position))
        )
        query = query.add_columns((low + (high - low) * (position - func.floor(position))).label(name))
    return query.group_by(ranked.c.at, ranked.c.final).order_by(ranked.c.at)
