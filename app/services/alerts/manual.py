"""Manual changes of alerts: acknowledge, resolve, note. Also resolves the alerts of edited rules."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app import models, wake
from app.config import Settings
from app.database import after_commit
from app.enums import AlertStatus, ResolveReason
from app.errors import Conflict, NotFound
from app.models import Alert, AlertNote
from app.services.alerts.alert_rows import end_suppression
from app.services.alerts.changes import BUILT_IN_NOTIFY_SETTINGS, AlertChanges
from app.services.alerts.state_machine import Acknowledge, Resolve, Unacknowledge
from app.services.rules.conditions.registry import MATCH_TYPES


def resolve_rule_alerts(
    session: Session, rule_id: UUID, reason: ResolveReason, settings: Settings, now: datetime
) -> None:
    """Resolve the open alerts of a rule that is edited, disabled or deleted, and delete its pending matches."""
    query = select(Alert).where(Alert.rule_id == rule_id, Alert.status != AlertStatus.RESOLVED).order_by(Alert.id)
    _resolve_alerts(session, session.scalars(query.with_for_update()).all(), Resolve(now, reason), settings)
    # The edited rule may fire even if people resolved its earlier alerts.
    end_suppression(session, Alert.rule_id == rule_id)
    session.execute(delete(models.Match).where(models.Match.rule_id == rule_id, models.Match.pending))


def _resolve_alerts(session: Session, alerts: Sequence[Alert], event: Resolve, settings: Settings) -> None:
    """Resolve alerts now, and notify the receivers that were notified of them."""
    if not alerts:
        return
    session.flush()
    alert_changes = AlertChanges(session, settings, event.at)
    for alert in alerts:
        session.expunge(alert)
        alert_changes.apply(alert, event)
        # A resolve depends on none of these settings.
        alert_changes.decide_notification(alert, BUILT_IN_NOTIFY_SETTINGS)
    alert_changes.save_alerts()
    if alert_changes.enqueue_notices():
        after_commit(session, wake.deliver)


def acknowledge(
    session: Session,
    alert_id: UUID,
    by: str,
    note: str | None,
    settings: Settings,
    now: datetime,
    until: datetime | None = None,
) -> Alert:
    """Acknowledge an alert: nobody is notified until it resolves, or fires again at `until`.

    A second call moves that time, and adds its note.

    Args:    until: None means that it does not fire again.
    Raises: NotFound; Conflict if it is resolved.
    """
    alert = _change(session, _open_alert(session, alert_id), Acknowledge(now, by, note, until), settings)
    _keep_note(session, alert_id, by, note, now)
    return alert


def unacknowledge(session: Session, alert_id: UUID, settings: Settings, now: datetime) -> Alert:
    """Take an acknowledgement back: the alert fires again, and reminders continue. A firing alert is not changed.

    Raises: NotFound; Conflict if it is resolved.
    """
    return _change(session, _open_alert(session, alert_id), Unacknowledge(now), settings)


def _change(session: Session, alert: Alert, event: Acknowledge | Unacknowledge, settings: Settings) -> Alert:
    session.expunge(alert)
    alert_changes = AlertChanges(session, settings, event.at)
    alert_changes.apply(alert, event)
    alert_changes.save_alerts()
    return session.get_one(Alert, alert.id)


def add_note(session: Session, alert_id: UUID, by: str, note: str, now: datetime) -> AlertNote:
    """Add a note to an alert, open or resolved.

    Raises: NotFound.
    """
    if session.get(Alert, alert_id) is None:
        raise NotFound(f"there is no alert {alert_id}")
    added = AlertNote(alert_id=alert_id, at=now, by=by, note=note)
    session.add(added)
    session.flush()
    return added


def _keep_note(session: Session, alert_id: UUID, by: str, note: str | None, now: datetime) -> None:
    """Store the note of an operation: the alert itself has only the last one."""
    if note:
        add_note(session, alert_id, by, note, now)


def resolve(session: Session, alert_id: UUID, by: str, note: str | None, settings: Settings, now: datetime) -> Alert:
    """Resolve an alert manually. It fires again with the next match or, for a condition over time, once that was false.

    Raises: NotFound; Conflict if it is resolved.
    """
    alert = _open_alert(session, alert_id)
    rule = session.get(models.Rule, alert.rule_id) if alert.rule_id else None
    suppress = rule is None or rule.condition["type"] not in MATCH_TYPES
    _resolve_alerts(session, [alert], Resolve(now, ResolveReason.MANUAL, suppress, by, note), settings)
    _keep_note(session, alert_id, by, note, now)
    return session.get_one(Alert, alert_id)


def _open_alert(session: Session, alert_id: UUID) -> Alert:
    alert = session.scalar(select(Alert).where(Alert.id == alert_id).with_for_update())
    if alert is None:
        raise NotFound(f"there is no alert {alert_id}")
    if alert.status == AlertStatus.RESOLVED:
        raise Conflict(f"alert {alert_id} is resolved already")
    return alert
