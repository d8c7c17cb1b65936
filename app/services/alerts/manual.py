"""What people do to alerts: take them, end them; and what ends with the rule that they belong to."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app import models, wake
from app.config import Settings, get_settings
from app.database import after_commit
from app.enums import AlertStatus, ResolveReason
from app.errors import Conflict, NotFound
from app.models import Alert
from app.services.alerts.changes import BUILT_IN_NOTIFY_SETTINGS, AlertChanges

EPISODIC_CONDITIONS = frozenset({"each", "threshold", "new_value"})
"""Conditions that hold at a match: the next match fires again. The others must have been false in between."""


def resolve_rule_alerts(
    session: Session, rule_id: UUID, reason: ResolveReason, settings: Settings, now: datetime
) -> None:
    """End the open alerts of a rule that is edited, disabled or deleted, and forget what it held back or knew."""
    query = select(Alert).where(Alert.rule_id == rule_id, Alert.status != AlertStatus.RESOLVED).order_by(Alert.id)
    _resolve_alerts(session, session.scalars(query.with_for_update()).all(), reason, settings, now)
    # What the rule says anew fires whether or not people ended what it said before.
    session.execute(
        update(Alert).where(Alert.rule_id == rule_id, Alert.suppressed_until_clear).values(suppressed_until_clear=False)
    )
    session.execute(delete(models.Match).where(models.Match.rule_id == rule_id, models.Match.pending))


def recheck_notifications(session: Session, rule_id: UUID, now: datetime) -> None:
    """Let the next tick decide anew when the open alerts of a rule are told: its cooldown or pace may have changed."""
    is_open = Alert.status != AlertStatus.RESOLVED
    session.execute(update(Alert).where(Alert.rule_id == rule_id, is_open).values(notify_at=now))


def _resolve_alerts(
    session: Session, alerts: Sequence[Alert], reason: ResolveReason, settings: Settings, now: datetime
) -> None:
    """End alerts now, and tell those who were told of them."""
    if not alerts:
        return
    session.flush()
    alert_changes = AlertChanges(session, settings, now)
    for alert in alerts:
        session.expunge(alert)
        alert_changes.mark_changed(alert)
        alert_changes.resolve(alert, reason, now)
        alert_changes.decide_notification(alert, BUILT_IN_NOTIFY_SETTINGS)
    alert_changes.save_alerts()
    if alert_changes.enqueue_notices():
        after_commit(session, wake.deliver)


def acknowledge(session: Session, alert_id: UUID, by: str | None, note: str | None, now: datetime) -> Alert:
    """Note that somebody has taken an alert: it is told no more until it resolves. One that is taken stays as it is.

    Raises: NotFound; Conflict where it is resolved.
    """
    alert = _open_alert(session, alert_id)
    if alert.status != AlertStatus.ACKNOWLEDGED:
        alert.status, alert.acknowledged_at, alert.acknowledged_by = AlertStatus.ACKNOWLEDGED, now, by
        alert.note = note
        session.flush()
    return alert


def resolve(session: Session, alert_id: UUID, by: str | None, note: str | None, now: datetime) -> Alert:
    """End an alert by hand; it fires again with the next match, or once its condition over time was false in between.

    Raises: NotFound; Conflict where it is resolved.
    """
    alert = _open_alert(session, alert_id)
    alert.acknowledged_by = alert.acknowledged_by or by
    alert.note = note or alert.note
    rule = session.get(models.Rule, alert.rule_id) if alert.rule_id else None
    alert.suppressed_until_clear = rule is None or rule.condition["type"] not in EPISODIC_CONDITIONS
    _resolve_alerts(session, [alert], ResolveReason.MANUAL, get_settings(), now)
    return session.get_one(Alert, alert_id)


def _open_alert(session: Session, alert_id: UUID) -> Alert:
    alert = session.scalar(select(Alert).where(Alert.id == alert_id).with_for_update())
    if alert is None:
        raise NotFound(f"there is no alert {alert_id}")
    if alert.status == AlertStatus.RESOLVED:
        raise Conflict(f"alert {alert_id} is resolved already")
    return alert
