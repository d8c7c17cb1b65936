"""Lists of alerts, and one alert with its deliveries."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import Account, Alert, Match
from app.services.paging import Page, Position, read_page

SORT_KEY = (Alert.started_at, Alert.id)


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts; an empty tuple and None mean no filter."""

    status: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    rule_id: tuple[str, ...] = ()
    account_sid: tuple[str, ...] = ()
    """Alerts with a log of one of these accounts, and built-in alerts about them."""
    since: datetime | None = None
    """Inclusive, by `started_at`."""
    until: datetime | None = None
    """Exclusive, by `started_at`."""


def list_alerts(session: Session, wanted: AlertFilter, position: Position | None, limit: int) -> Page[Alert]:
    """List alerts, newest first by when they started."""
    query = select(Alert)
    for column, values in (
        (Alert.status, wanted.status),
        (Alert.severity, wanted.severity),
        (Alert.rule_id, wanted.rule_id),
    ):
        if values:
            query = query.where(column.in_(values))
    if wanted.account_sid:
        accounts = select(Account.id).where(Account.sid.in_(wanted.account_sid))
        with_log = select(Match.alert_id).where(Match.alert_id == Alert.id, Match.account_id.in_(accounts)).exists()
        query = query.where(with_log | Alert.group["account_sid"].astext.in_(wanted.account_sid))
    if wanted.since is not None:
        query = query.where(Alert.started_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(Alert.started_at < wanted.until)
    return read_page(session, query, SORT_KEY, position, limit)


def get(session: Session, alert_id: UUID, *, lock: bool = False) -> Alert:
    """Return an alert.

    Raises: NotFound.
    """
    alert = session.get(Alert, alert_id, with_for_update=True if lock else None)
    if alert is None:
        raise NotFound(f"there is no alert {alert_id}")
    return alert
