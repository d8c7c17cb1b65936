"""Splits a span into whole hours, which tallies answer, and the rest, which the logs answer: both are exact."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, cast, false, func, or_
from sqlalchemy.orm import Session

from app.enums import LogType
from app.models import Account, DelayTally, Log, LogTally, SenderTally, TallyDimension
from app.services.log_fields import FIELDS
from app.services.logs import tallies
from app.services.logs.search import LogFilter, conditions, is_any_of

TALLIED: dict[str, Any] = {
    "log_type": TallyDimension.log_type,
    **{field.name: getattr(TallyDimension, field.column) for field in FIELDS if field.tallied},
    "from": SenderTally.sender,
    "account_sid": Account.sid,
    "final": TallyDimension.final,
}
"""The columns of tallies for these fields and filters."""

DELIVERED = ("delivered", "read")
MEASURED = and_(Log.log_type == LogType.MESSAGE, Log.final, Log.direction.like("outbound%"))
"""The messages that are delivered or not."""
DIMENSION_MEASURED = and_(
    TallyDimension.log_type == LogType.MESSAGE, TallyDimension.final, TallyDimension.direction.like("outbound%")
)
SECONDS = cast(
    func.floor(func.extract("epoch", func.coalesce(Log.final_at, Log.changed_at) - Log.occurred_at)), Integer
)
"""From creation to the final status; true only where `final_at` is known."""

Tally = type[LogTally] | type[SenderTally] | type[DelayTally]
FIELDS_WITHOUT_SENDER = {"to_country", "messaging_service_sid"}
"""The tallies by sender do not know these."""
Spans = list[tuple[datetime, datetime]]


@dataclass(frozen=True)
class HourSpan:
    """The whole hours of [first, last), except those in `without`."""

    first: datetime
    last: datetime
    without: list[datetime]


class SpanSplitter:
    """Splits spans by what is tallied in one snapshot of the database."""

    def __init__(self, session: Session) -> None:
        """Begin a snapshot.

        Args:    session: one that has not read anything yet.
        """
        tallies.use_snapshot(session)
        self._session = session
        self._untallied: dict[tuple[datetime, datetime], list[datetime]] = {}

    def split(self, log_filter: LogFilter, *, usable: bool) -> tuple[HourSpan, Spans]:
        """Split the span of a filter into hours with valid tallies and spans to be read from the logs.

        Args:    usable: whether tallies can answer at all; otherwise all logs are read.
        """
        assert log_filter.since is not None
        assert log_filter.until is not None
        since, until = log_filter.since, log_filter.until
        hours = tallies.next_hour(since), tallies.hour_start(until)
        if not usable or hours[0] >= hours[1]:
            return HourSpan(since, since, []), [(since, until)]
        if hours not in self._untallied:
            self._untallied[hours] = tallies.untallied(self._session, *hours)
        return _split(since, until, HourSpan(*hours, self._untallied[hours]))


def _split(since: datetime, until: datetime, whole: HourSpan) -> tuple[HourSpan, Spans]:
    """Find the parts of a span that its tallied hours leave out."""
    rest: Spans = [(since, whole.first)]
    for hour in whole.without:
        if rest[-1][1] == hour:
            rest[-1] = (rest[-1][0], hour + tallies.HOUR)
        else:
            rest.append((hour, hour + tallies.HOUR))
    rest.append((whole.last, until))
    return whole, [span for span in rest if span[0] < span[1]]


def filter_names(log_filter: LogFilter) -> set[str]:
    """Return the names of all filters that are set except the span, as tallies name them."""
    names = {field.name for field in fields(log_filter) if getattr(log_filter, field.name) not in ((), None)}
    return {name.rstrip("_") for name in names} - {"since", "until"}


def tally_for(asked: set[str]) -> type[LogTally] | type[SenderTally] | None:
    """Return the tally that knows all these fields and filters; None if there is none."""
    if not asked <= TALLIED.keys():
        return None
    if "from" not in asked:
        return LogTally
    return None if asked & FIELDS_WITHOUT_SENDER else SenderTally


def is_without_sender(log_filter: LogFilter) -> bool:
    """Return whether tallies that do not know the sender can answer."""
    return filter_names(log_filter) <= TALLIED.keys() - {"from"}


def within(log_filter: LogFilter, spans: Spans) -> list[ColumnElement[bool]]:
    """Filter logs, and limit them to spans."""
    inside = [and_(Log.occurred_at >= since, Log.occurred_at < until) for since, until in spans]
    return [*conditions(log_filter), or_(false(), *inside)]


def of_dimensions(
    query: Select[*tuple[Any, ...]], tally: Tally, log_filter: LogFilter, whole: HourSpan
) -> Select[*tuple[Any, ...]]:
    """Filter a query of tallies by dimensions and hours."""
    query = query.select_from(tally).join(TallyDimension, TallyDimension.id == tally.kind_id)
    query = query.join(Account, Account.id == TallyDimension.account_id)
    for name in filter_names(log_filter):
        values = getattr(log_filter, "from_" if name == "from" else name)
        query = query.where(is_any_of(TALLIED[name], values if isinstance(values, tuple) else (values,)))
    query = query.where(tally.hour >= whole.first, tally.hour < whole.last)
    return query.where(tally.hour.not_in(whole.without)) if whole.without else query
