"""Finds logs: filters, text search, and one log with its history and related logs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.errors import NotFound
from app.models import Account, Log, LogChange, LogText, StreamSearch
from app.services.log_fields import FIELDS
from app.services.logs import change_consumers
from app.services.logs.columns import COLUMNS
from app.services.paging import Page, Position, beyond, read_rows, split_page
from app.services.serializers import select_logs

SORT_KEY = (Log.occurred_at, Log.id)
"""Logs are listed newest first by Twilio's time; `id` breaks ties within a second."""
SCAN_LIMIT = 20_000
"""The number of newest logs that are searched without the index."""
CHUNK = 2_000
MIN_WORD_LENGTH = 3
"""Shorter texts contain no trigram."""
MAX_RELATED = 100
"""At most so many related logs are shown."""
NONE = "none"
WITH_NONE = ("to_country", "messaging_service_sid")
"""Filters by these fields take `NONE` for logs without a value: no value reads like this."""
LIKE_ESCAPES = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})


@dataclass(frozen=True)
class LogFilter:
    """A selection of logs. An empty tuple or None matches all; `NONE` among countries or services, those without."""

    log_type: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    error_code: tuple[int, ...] = ()
    level: tuple[str, ...] = ()
    direction: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    to_country: tuple[str, ...] = ()
    account_sid: tuple[str, ...] = ()
    messaging_service_sid: tuple[str, ...] = ()
    since: datetime | None = None
    """Inclusive, by `occurred_at`."""
    until: datetime | None = None
    """Exclusive."""
    q: str | None = None
    """Contained in the text, error message, a number or the SID, ignoring case."""
    final: bool | None = None


_COLUMNS: Mapping[str, InstrumentedAttribute[Any]] = {
    "log_type": Log.log_type,
    **{field.attribute: COLUMNS[field.name] for field in FIELDS if field.filterable},
}
SEARCHED = (Log.text_, Log.error_message, Log.from_, Log.to_, Log.sid)


def conditions(log_filter: LogFilter) -> list[ColumnElement[bool]]:
    """Translate a filter to SQL conditions."""
    found: list[ColumnElement[bool]] = []
    for field in fields(log_filter):
        values = getattr(log_filter, field.name)
        if field.name in _COLUMNS and values:
            found.append(is_any_of(_COLUMNS[field.name], values))
    if log_filter.account_sid:
        found.append(Log.account_id.in_(select(Account.id).where(Account.sid.in_(log_filter.account_sid))))
    if log_filter.since is not None:
        found.append(Log.occurred_at >= log_filter.since)
    if log_filter.until is not None:
        found.append(Log.occurred_at < log_filter.until)
    if log_filter.final is not None:
        found.append(Log.final.is_(log_filter.final))
    if log_filter.q is not None:
        found.append(contains(log_filter.q))
    return found


def is_any_of(column: Any, values: tuple[Any, ...]) -> ColumnElement[bool]:
    """Compare a column with the values of a filter."""
    found: ColumnElement[bool] = column.in_(values)
    return or_(column.is_(None), found) if NONE in values and column.key in WITH_NONE else found


def contains(text: str) -> ColumnElement[bool]:
    """Select the logs that contain this literal text in a searched field."""
    pattern = _pattern(text)
    return or_(*(column.ilike(pattern, escape="\\") for column in SEARCHED))


def _pattern(text: str) -> str:
    return f"%{text.translate(LIKE_ESCAPES)}%"


def list_logs(
    session: Session, log_filter: LogFilter, position: Position | None, limit: int
) -> Page[Row[*tuple[Any, ...]]]:
    """List matching logs, newest first.

    A text or number is searched among the newest logs first, which is enough if it is frequent. If it is rare, the text
    index is used.
    """
    needle = log_filter.to or ((log_filter.q,) if log_filter.q is not None else log_filter.from_)
    if not needle or (position is not None and position.backward):
        return read_rows(session, select_matching(log_filter), SORT_KEY, position, limit)
    rows = _among_newest(session, log_filter, position, limit)
    if len(rows) <= limit and all(len(text) >= MIN_WORD_LENGTH for text in needle):
        rows = _by_words(session, log_filter, needle, position, limit)
    elif len(rows) <= limit:
        return read_rows(session, select_matching(log_filter), SORT_KEY, position, limit)
    return split_page(rows, SORT_KEY, position, limit)


def _among_newest(
    session: Session, log_filter: LogFilter, position: Position | None, limit: int
) -> list[Row[*tuple[Any, ...]]]:
    """Search the newest `SCAN_LIMIT` logs that pass the other filters, without the text index."""
    newest = select_matching(replace(log_filter, q=None, from_=(), to=()))
    if position is not None:
        newest = newest.where(beyond(SORT_KEY, position))
    few = newest.order_by(Log.occurred_at.desc(), Log.id.desc()).limit(SCAN_LIMIT).subquery()
    query = select(few).order_by(few.c.occurred_at.desc(), few.c.id.desc())
    if log_filter.q is not None:
        text = _pattern(log_filter.q)
        query = query.where(or_(*(few.c[column.key].ilike(text, escape="\\") for column in SEARCHED)))
    for column, values in ((few.c.from_, log_filter.from_), (few.c.to_, log_filter.to)):
        if values:
            query = query.where(column.in_(values))
    return list(session.execute(query.limit(limit + 1)))


def _by_words(
    session: Session, log_filter: LogFilter, needle: tuple[str, ...], position: Position | None, limit: int
) -> list[Row[*tuple[Any, ...]]]:
    """Search with the text index and, where it lags, among the changes.

    Args:    needle: matching logs contain one of these texts; among several filters, the one that is likely rarest.
    """
    found = {row.id: row for row in _among_unindexed(session, log_filter, position)}
    known = 0
    for rows in _indexed(session, log_filter, needle, position):
        found |= {row.id: row for row in rows}
        known += len(rows)
        if known > limit:
            break
    ordered = sorted(found.values(), key=lambda row: (row.occurred_at, row.id), reverse=True)
    return ordered[: limit + 1]


def _among_unindexed(
    session: Session, log_filter: LogFilter, position: Position | None
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Search the logs whose changes the text index does not contain yet."""
    pending = select(LogChange.occurred_at, LogChange.log_id).where(
        change_consumers.unseen_changes(session, StreamSearch)
    )
    query = select_matching(log_filter).where(tuple_(Log.occurred_at, Log.id).in_(pending))
    return session.execute(query if position is None else query.where(beyond(SORT_KEY, position))).all()


def _indexed(
    session: Session, log_filter: LogFilter, needle: tuple[str, ...], position: Position | None
) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
    """Yield the matching logs of the text index, newest first, chunk by chunk."""
    hits = select(LogText.occurred_at, LogText.log_id).where(
        or_(*(LogText.words.like(func.lower(_pattern(text)), escape="\\") for text in needle))
    )
    if log_filter.since is not None:
        hits = hits.where(LogText.occurred_at >= log_filter.since)
    if log_filter.until is not None:
        hits = hits.where(LogText.occurred_at < log_filter.until)
    # Materialized, then sorted: asked for the newest few, PostgreSQL would scan the table from its end.
    few = hits.cte("hits").prefix_with("MATERIALIZED")
    key = (few.c.occurred_at, few.c.log_id)
    newest = select(*key).order_by(*(column.desc() for column in key)).limit(CHUNK)
    at = None if position is None else position.values
    while True:
        query = newest if at is None else newest.where(tuple_(*key) < tuple_(*(literal(value) for value in at)))
        keys = [tuple(row) for row in session.execute(query)]
        if keys:
            yield session.execute(select_matching(log_filter).where(tuple_(Log.occurred_at, Log.id).in_(keys))).all()
        if len(keys) < CHUNK:
            return
        at = keys[-1]


def select_matching(log_filter: LogFilter) -> Select[*tuple[Any, ...]]:
    """Select matching logs, with everything `log_json` needs."""
    return select_logs().where(*conditions(log_filter))


def find_log(session: Session, sid: str) -> Row[*tuple[Any, ...]]:
    """Find a log by its sid.

    Raises: NotFound.
    """
    accounts = list(session.scalars(select(Account.id)))
    query = select_logs().where(Log.account_id.in_(accounts), Log.sid == sid).order_by(Log.occurred_at.desc())
    row = session.execute(query.limit(1)).first()
    if row is None:
        raise NotFound(f"there is no log {sid}")
    return row


def load_full(session: Session, row: Row[*tuple[Any, ...]]) -> Log:
    """Load a log with the columns that lists omit."""
    return session.get_one(Log, (row.occurred_at, row.id))


def history(session: Session, log_id: int, occurred_at: datetime) -> Sequence[LogChange]:
    """List the changes of a log in the order in which they were seen."""
    query = select(LogChange).where(LogChange.log_id == log_id, LogChange.occurred_at == occurred_at)
    return session.scalars(query.order_by(LogChange.id)).all()


def related(session: Session, row: Row[*tuple[Any, ...]]) -> list[Row[*tuple[Any, ...]]]:
    """List the logs related to a log, oldest first: error-log entries that name it, and the logs that it names."""
    linked = [Log.resource_sid == row.sid]
    if row.resource_sid is not None:
        linked += [Log.sid == row.resource_sid, Log.resource_sid == row.resource_sid]
    query = select_logs().where(Log.account_id == row.account_id, or_(*linked), Log.id != row.id)
    return list(session.execute(query.order_by(Log.occurred_at, Log.id).limit(MAX_RELATED)))
