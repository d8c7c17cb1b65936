"""Counts logs that are alike, for breakdowns: whole hours from tallies, the rest from the logs."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, select, text
from sqlalchemy.orm import Session

from app.errors import FieldError, InvalidInput
from app.models import Account, DelayTally, Log, LogTally, SenderTally, TallyDimension
from app.services.logs.columns import COLUMNS
from app.services.logs.search import LogFilter
from app.services.logs.tally_queries import (
    DELIVERED,
    DIMENSION_MEASURED,
    MEASURED,
    SECONDS,
    TALLIED,
    HourSpan,
    Spans,
    SpanSplitter,
    filter_names,
    of_dimensions,
    tally_for,
    within,
)

BreakdownField = Literal["to_country", "from", "messaging_service_sid", "error_code"]
"""The fields to break down by."""
MAX_CELLS = 400_000
"""Groups of logs that are alike in every counted field."""
NARROW = "shorten the span or narrow the filters"
TOO_MANY = f"there are too many different values in it: {NARROW}"

Value = str | int | None
CellTally = type[LogTally] | type[SenderTally]


class Cell(NamedTuple):
    """Logs that are alike."""

    value: Value
    measured: bool
    """Final outbound messages: only these can be delivered."""
    delivered: bool
    seconds: int | None
    """From creation to the final status; None if it is not known, or counted as a `Delay`."""
    error_code: int | None
    price_unit: str | None
    """None if no price is known."""
    logs: int
    price: Decimal
    """The total of the absolute prices."""


class Delay(NamedTuple):
    """Final outbound messages with the same delay."""

    value: Value
    seconds: int
    logs: int


class CellReader:
    """Reads cells from one snapshot of the database."""

    def __init__(self, session: Session, by: str) -> None:
        """Begin a snapshot.

        Args:    session: one that has not read anything yet; by: of `BreakdownField`.
        """
        self._session, self._by = session, by
        self._splitter = SpanSplitter(session)

    def cells(self, log_filter: LogFilter) -> tuple[list[Cell], list[Delay]]:
        """Count the logs of a span.

        Returns: the cells, and the delays of tallied hours, which the cells lack.
        Raises:  InvalidInput if there are too many cells.
        """
        tally, whole, rest = self._split(log_filter)
        found = self._session.execute(_of_logs(log_filter, rest, self._by).limit(MAX_CELLS + 1)).all()
        if len(found) > MAX_CELLS:
            raise InvalidInput([FieldError("since", TOO_MANY)])
        if tally is None or whole.first >= whole.last:
            return [Cell(*row) for row in found], []
        tallied = self._session.execute(_of_tallies(tally, log_filter, whole, self._by))
        delays = self._session.execute(_delays_of_tallies(tally, log_filter, whole, self._by))
        return [Cell(*row) for row in (*found, *tallied)], [Delay(*row) for row in delays]

    def delivered(self, log_filter: LogFilter) -> Iterator[tuple[Value, int, int]]:
        """Count the final and the delivered outbound messages of a span; a value may come twice."""
        tally, whole, rest = self._split(log_filter)
        delivered = func.count().filter(Log.status.in_(DELIVERED))
        query = select(COLUMNS[self._by], func.count(), delivered).join(Account, Account.id == Log.account_id)
        query = query.where(*within(log_filter, rest), MEASURED)
        yield from map(tuple, self._session.execute(query.group_by(COLUMNS[self._by])))
        if tally is not None and whole.first < whole.last:
            logs = func.sum(tally.logs)
            among = func.coalesce(logs.filter(TallyDimension.status.in_(DELIVERED)), 0)
            tallied = of_dimensions(select(_value(self._by), logs, among), tally, log_filter, whole)
            yield from map(tuple, self._session.execute(tallied.where(DIMENSION_MEASURED).group_by(text("1"))))

    def _split(self, log_filter: LogFilter) -> tuple[CellTally | None, HourSpan, Spans]:
        tally = tally_for(filter_names(log_filter) | {self._by})
        return tally, *self._splitter.split(log_filter, usable=tally is not None)


def _of_logs(log_filter: LogFilter, spans: Spans, by: str) -> Select[*tuple[Any, ...]]:
    measured = func.coalesce(MEASURED, literal(False))
    query = select(
        COLUMNS[by].label("value"),
        measured.label("measured"),
        and_(measured, Log.status.in_(DELIVERED)).label("delivered"),
        case((and_(measured, Log.final_at.is_not(None)), SECONDS)).label("seconds"),
        Log.error_code,
        case((Log.price.is_not(None), Log.price_unit)).label("unit"),
    )
    # Logs of a removed account stay until they expire, but no longer count.
    query = query.join(Account, Account.id == Log.account_id).where(*within(log_filter, spans))
    return _grouped(query, func.count(), func.coalesce(func.sum(func.abs(Log.price)), 0))


def _value(by: str) -> ColumnElement[Any]:
    """Return the value in tallies, where a missing sender is an empty text."""
    value: ColumnElement[Any] = TALLIED[by]
    return func.nullif(value, "") if by == "from" else value


def _of_tallies(tally: CellTally, log_filter: LogFilter, whole: HourSpan, by: str) -> Select[*tuple[Any, ...]]:
    measured = func.coalesce(DIMENSION_MEASURED, literal(False))
    query = select(
        _value(by).label("value"),
        measured.label("measured"),
        and_(measured, TallyDimension.status.in_(DELIVERED)).label("delivered"),
        literal(None).label("seconds"),
        TallyDimension.error_code,
        TallyDimension.price_unit,
    )
    query = of_dimensions(query, tally, log_filter, whole)
    return _grouped(query, func.sum(tally.logs), func.sum(tally.price))


def _delays_of_tallies(tally: CellTally, log_filter: LogFilter, whole: HourSpan, by: str) -> Select[*tuple[Any, ...]]:
    if tally is SenderTally:
        pairs = func.unnest(SenderTally.seconds, SenderTally.timed)
        each = pairs.table_valued("seconds", "timed", joins_implicitly=True).render_derived(name="each")
        return _grouped(
            of_dimensions(select(_value(by), each.c.seconds), tally, log_filter, whole), func.sum(each.c.timed)
        )
    query = of_dimensions(select(_value(by), DelayTally.seconds), DelayTally, log_filter, whole)
    return _grouped(query.where(DelayTally.timed > 0), func.sum(DelayTally.timed))


def _grouped(query: Select[*tuple[Any, ...]], *totals: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    # By number: PostgreSQL does not recognize an expression with bound values as the same one.
    numbers = [text(str(number)) for number in range(1, len(query.selected_columns) + 1)]
    return query.add_columns(*totals).group_by(*numbers)
