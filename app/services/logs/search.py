"""Finds logs: filters, text search, and one log with its history, alerts and related logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Subquery, and_, func, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.enums import ResolveReason
from app.errors import NotFound
from app.models import Account, Alert, Log, LogChange, LogText, Match, StreamSearch
from app.services.log_fields import FIELDS
from app.services.logs import change_consumers
from app.services.logs.columns import COLUMNS
from app.services.paging import Page, Position, beyond, limited, split_page
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
RESTART_REASONS = (ResolveReason.RULE_CHANGED, ResolveReason.RULE_DISABLED, ResolveReason.RULE_DELETED)
"""After these, a rule ignores its earlier matches."""
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
        return _read(session, find(log_filter), position, limit)
    rows = _among_newest(session, log_filter, position, limit)
    if len(rows) <= limit and all(len(text) >= MIN_WORD_LENGTH for text in needle):
        rows = _by_words(session, log_filter, needle, position, limit)
    elif len(rows) <= limit:
        return _read(session, find(log_filter), position, limit)
    return split_page(rows, SORT_KEY, position, limit)


def _read(
    session: Session, query: Select[*tuple[Any, ...]], position: Position | None, limit: int
) -> Page[Row[*tuple[Any, ...]]]:
    rows = session.execute(limited(query, SORT_KEY, position, limit)).all()
    return split_page(rows, SORT_KEY, position, limit)


def _among_newest(
    session: Session, log_filter: LogFilter, position: Position | None, limit: int
) -> list[Row[*tuple[Any, ...]]]:
    """Search the newest matching logs that the text index does not contain yet."""
    newest = find(replace(log_filter, q=None, from_=(), to=()))
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
    found: dict[int, Row[*tuple[Any, ...]]] = {}
    pending = select(LogChange.occurred_at, LogChange.log_id).where(
        change_consumers.unseen_changes(session, StreamSearch)
    )
    statement = find(log_filter).where(tuple_(Log.occurred_at, Log.id).in_(pending))
    for row in session.execute(statement if position is None else statement.where(beyond(SORT_KEY, position))):
        found[row.id] = row
    hits = select(LogText.occurred_at, LogText.log_id).where(
        or_(*(LogText.words.like(func.lower(_pattern(text)), escape="\\") for text in needle))
    )
    if log_filter.since is not None:
        hits = hits.where(LogText.occurred_at >= log_filter.since)
    if log_filter.until is not None:
        hits = hits.where(LogText.occurred_at < log_filter.until)
    # Materialized, then sorted: asked for the newest few, PostgreSQL would scan the table from its end.
    few = hits.cte("hits").prefix_with("MATERIALIZED")
    at = None if position is None else position.values
    known = 0
    while known <= limit:
        query = select(few.c.occurred_at, few.c.log_id)
        if at is not None:
            query = query.where(tuple_(few.c.occurred_at, few.c.log_id) < tuple_(*(literal(value) for value in at)))
        keys = session.execute(query.order_by(few.c.occurred_at.desc(), few.c.log_id.desc()).limit(CHUNK)).all()
        rows = session.execute(
            find(log_filter).where(tuple_(Log.occurred_at, Log.id).in_([tuple(key) for key in keys]))
        )
        for row in rows if keys else ():
            found[row.id] = row
            known += 1
        if len(keys) < CHUNK:
            break
        at = tuple(keys[-1])
    ordered = sorted(found.values(), key=lambda row: (row.occurred_at, row.id), reverse=True)
    return ordered[: limit + 1]


def find(log_filter: LogFilter) -> Select[*tuple[Any, ...]]:
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


def alerts(session: Session, log_id: int) -> Sequence[Alert]:
    """List the alerts that a log counts towards, newest first."""
    holder = aliased(Alert)
    own = select(Match.alert_id).where(Match.log_id == log_id)
    later = select(Alert.id).join(holder, _reaches_back_to(holder)).join(Match, Match.alert_id == holder.id)
    shared = later.where(Match.log_id == log_id, _lies_in_window())
    query = select(Alert).where(Alert.id.in_(own.union_all(shared)))
    return session.scalars(query.order_by(Alert.started_at.desc(), Alert.id)).all()


def related(session: Session, row: Row[*tuple[Any, ...]]) -> list[Row[*tuple[Any, ...]]]:
    """List the logs related to a log, oldest first: error-log entries that name it, and the logs that it names."""
    linked = [Log.resource_sid == row.sid]
    if row.resource_sid is not None:
        linked += [Log.sid == row.resource_sid, Log.resource_sid == row.resource_sid]
    query = select_logs().where(Log.account_id == row.account_id, or_(*linked), Log.id != row.id)
    return list(session.execute(query.order_by(Log.occurred_at, Log.id).limit(MAX_RELATED)))


def list_of_alert(
    session: Session, alert_id: UUID, position: Position | None, limit: int
) -> Page[Row[*tuple[Any, ...]]]:
    """List an alert's logs, newest first: its matches, and matches of earlier alerts within its first window."""
    counted = keys_of_alert(alert_id)
    query = select_logs().join(counted, and_(counted.c.occurred_at == Log.occurred_at, counted.c.log_id == Log.id))
    return _read(session, query, position, limit)


def keys_of_alert(alert_id: UUID) -> Subquery:
    """Select `occurred_at` and `log_id` of the logs that count towards an alert."""
    holder = aliased(Alert)
    own = select(Match.occurred_at, Match.log_id).where(Match.alert_id == alert_id)
    earlier = select(Match.occurred_at, Match.log_id).select_from(Alert).join(holder, _reaches_back_to(holder))
    shared = earlier.join(Match, Match.alert_id == holder.id).where(Alert.id == alert_id, _lies_in_window())
    return own.union_all(shared).subquery("counted")


def _reaches_back_to(earlier: type[Alert]) -> ColumnElement[bool]:
    """Return whether the window that opened an alert can contain matches of an earlier alert of the same rule and
    group.
    """
    return and_(
        earlier.fingerprint == Alert.fingerprint,
        earlier.started_at < Alert.started_at,
        earlier.last_match_at > Alert.window_from,
        earlier.resolve_reason.not_in(RESTART_REASONS),
    )


def _lies_in_window() -> ColumnElement[bool]:
    """Return whether a match lies in the window that opened the alert, by the time its condition uses."""
    created = and_(Match.occurred_at > Alert.window_from, Match.occurred_at <= Alert.started_at)
    return and_(Match.changed_at > Alert.window_from, or_(Match.changed_at <= Alert.started_at, created))
