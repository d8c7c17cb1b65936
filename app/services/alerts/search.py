"""Lists of alerts, and one alert with its deliveries."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.orm import Session

from app.enums import AlertStatus, Severity, severity_rank
from app.errors import NotFound
from app.models import Account, Alert, AlertNote, Match
from app.services.paging import Page, Position, read_page

MAX_COUNTED = 20_000
SORT_KEY = (Alert.started_at, Alert.id)


@dataclass(frozen=True)
class AlertFilter:
    """A selection of alerts. An empty tuple or None matches all."""

    status: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    rule_id: tuple[str, ...] = ()
    account_sid: tuple[str, ...] = ()
    """Alerts with a log of one of these accounts, and built-in alerts about them."""
    since: datetime | None = None
    """Inclusive, by `started_at`."""
    until: datetime | None = None
    """Exclusive, by `started_at`."""


def list_alerts(session: Session, alert_filter: AlertFilter, position: Position | None, limit: int) -> Page[Alert]:
    """List alerts, newest first by when they started."""
    query = select(Alert)
    for column, values in (
        (Alert.status, alert_filter.status),
        (Alert.severity, alert_filter.severity),
        (Alert.rule_id, alert_filter.rule_id),
    ):
        if values:
            query = query.where(column.in_(values))
    if alert_filter.account_sid:
        accounts = session.scalars(select(Account.id).where(Account.sid.in_(alert_filter.account_sid))).all()
        # Matches are deleted with their logs, long before the alert. Those of older versions lack `account_ids`.
        with_log = select(Match.alert_id).where(Match.alert_id == Alert.id, Match.account_id.in_(accounts)).exists()
        about = Alert.group["account_sid"].astext.in_(alert_filter.account_sid)
        query = query.where(Alert.account_ids.overlap(accounts) | with_log | about)
    if alert_filter.since is not None:
        query = query.where(Alert.started_at >= alert_filter.since)
    if alert_filter.until is not None:
        query = query.where(Alert.started_at < alert_filter.until)
    return read_page(session, query, SORT_KEY, position, limit)


@dataclass(frozen=True)
class OpenAlerts:
    """How many alerts are open."""

    total: int
    critical: int
    waiting: int
    """Those that fire, are not silenced, and that nobody has acknowledged."""


def count_open(session: Session) -> OpenAlerts:
    """Count the open alerts."""
    waiting = (Alert.status == AlertStatus.FIRING) & Alert.silenced.is_(False)
    query = select(
        func.count(),
        func.count().filter(Alert.severity == Severity.CRITICAL),
        func.count().filter(waiting),
    ).where(Alert.status != AlertStatus.RESOLVED)
    return OpenAlerts(*session.execute(query).one())


def list_urgent(session: Session, limit: int) -> Sequence[Alert]:
    """List the open alerts: firing and unsilenced first, then by severity, oldest first."""
    by_severity: ColumnElement[int] = literal_column(severity_rank("alerts.severity"))
    query = select(Alert).where(Alert.status != AlertStatus.RESOLVED)
    order = (Alert.status != AlertStatus.FIRING, Alert.silenced, by_severity.desc(), Alert.started_at, Alert.id)
    return session.scalars(query.order_by(*order).limit(limit)).all()


def count_over_time(session: Session, alerts: Sequence[Alert], now: datetime, bars: int) -> Mapping[UUID, list[int]]:
    """Count the matches of alerts in equal parts of the time since the window that opened each.

    A list must not wait for alerts with many matches.

    Returns: alert id to `bars` counts; alerts with over MAX_COUNTED matches are missing.
    """
    ids = [alert.id for alert in alerts if alert.rule_id is not None and alert.occurrences <= MAX_COUNTED]
    if not ids:
        return {}
    seconds = func.extract("epoch", Match.changed_at), func.extract("epoch", Alert.window_from)
    # An alert of this moment has a window that ends now, or a little later by another clock.
    end = func.greatest(now, Alert.window_from + timedelta(minutes=1))
    bar = func.width_bucket(*seconds, func.extract("epoch", end), bars)
    query = select(Alert.id, bar, func.count()).join(Match, Match.alert_id == Alert.id)
    found = {alert_id: [0] * bars for alert_id in ids}
    for alert_id, number, count in session.execute(query.where(Alert.id.in_(ids)).group_by(Alert.id, bar)):
        found[alert_id][min(max(number, 1), bars) - 1] += count
    return found


def last_resolved_at(session: Session) -> datetime | None:
    """Return when the last alert was resolved; None if none has."""
    return session.scalar(select(func.max(Alert.resolved_at)))


def count_by_day(session: Session, since: datetime, until: datetime) -> Mapping[tuple[datetime, str], int]:
    """Count the alerts that started, by the days since `since` and by severity."""
    day = func.date_bin(timedelta(days=1), Alert.started_at, since)
    query = select(day, Alert.severity, func.count()).where(Alert.started_at >= since, Alert.started_at < until)
    return {(at, severity): number for at, severity, number in session.execute(query.group_by(day, Alert.severity))}


def get(session: Session, alert_id: UUID, *, lock: bool = False) -> Alert:
    """Return an alert.

    Raises: NotFound.
    """
    alert = session.get(Alert, alert_id, with_for_update=True if lock else None)
    if alert is None:
        raise NotFound(f"there is no alert {alert_id}")
    return alert


def earlier_alerts(session: Session, alert: Alert, limit: int) -> Sequence[Alert]:
    """List the alerts of the same rule and group that started before, newest first."""
    query = select(Alert).where(Alert.fingerprint == alert.fingerprint, Alert.started_at < alert.started_at)
    return session.scalars(query.order_by(Alert.started_at.desc(), Alert.id).limit(limit)).all()


def notes_of(session: Session, alert_id: UUID) -> Sequence[AlertNote]:
    """List the notes of an alert, oldest first."""
    query = select(AlertNote).where(AlertNote.alert_id == alert_id).order_by(AlertNote.id)
    return session.scalars(query).all()


def count_by_rule(
    session: Session, since: datetime, until: datetime, bucket: timedelta
) -> Mapping[UUID, Sequence[int]]:
    """Count the alerts that each rule opened, by when they started. Rules without alerts are omitted.

    Returns: for each rule one count per bucket of `[since, until)`.
    """
    start = func.date_bin(bucket, Alert.started_at, since)
    query = (
        select(Alert.rule_id, start, func.count())
        .where(Alert.rule_id.is_not(None), Alert.started_at >= since, Alert.started_at < until)
        .group_by(Alert.rule_id, start)
    )
    counts: defaultdict[UUID, list[int]] = defaultdict(lambda: [0] * -(-(until - since) // bucket))
    for rule_id, at, count in session.execute(query):
        counts[rule_id][(at - since) // bucket] = count
    return counts


def count_open_by_rule(session: Session) -> Mapping[UUID, int]:
    """Count the open alerts of each rule. Rules without open alerts are omitted."""
    query = (
        select(Alert.rule_id, func.count())
        .where(Alert.rule_id.is_not(None), Alert.status != AlertStatus.RESOLVED)
        .group_by(Alert.rule_id)
    )
    return {rule_id: count for rule_id, count in session.execute(query) if rule_id is not None}
