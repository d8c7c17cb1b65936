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
from app.services.alerts.register import BUILT_IN_HABITS, Register

EPISODIC = frozenset({"each", "threshold", "new_value"})
"""Conditions that hold at a match: the next match fires again. The others must have been false in between."""


def close_all(session: Session, rule_id: UUID, reason: ResolveReason, settings: Settings, now: datetime) -> None:
    """End the open alerts of a rule that is edited, disabled or deleted, and forget what it held back or knew."""
    query = select(Alert).where(Alert.rule_id == rule_id, Alert.status != AlertStatus.RESOLVED).order_by(Alert.id)
    _end(session, session.scalars(query.with_for_update()).all(), reason, settings, now)
    # What the rule says anew fires whether or not people ended what it said before.
    session.execute(update(Alert).where(Alert.rule_id == rule_id, Alert.still_holds).values(still_holds=False))
    session.execute(delete(models.Match).where(models.Match.rule_id == rule_id, models.Match.held))


def look_again(session: Session, rule_id: UUID, now: datetime) -> None:
    """Let the next tick decide anew when the open alerts of a rule are told: its cooldown or pace may have changed."""
    is_open = Alert.status != AlertStatus.RESOLVED
    session.execute(update(Alert).where(Alert.rule_id == rule_id, is_open).values(notify_at=now))


def _end(session: Session, alerts: Sequence[Alert], reason: ResolveReason, settings: Settings, now: datetime) -> None:
    """End alerts now, and tell those who were told of them."""
    if not alerts:
        return
    session.flush()
    register = Register(session, settings, now)
    for alert in alerts:
        session.expunge(alert)
        register.move(alert)
        register.close(alert, reason, now)
        register.tell(alert, BUILT_IN_HABITS)
    register.save_alerts()
    if register.save_notices():
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
    alert.still_holds = rule is None or rule.condition["type"] not in EPISODIC
    _end(session, [alert], ResolveReason.MANUAL, get_settings(), now)
    return session.get_one(Alert, alert_id)


def _open_alert(session: Session, alert_id: UUID) -> Alert:
    alert = session.scalar(select(Alert).where(Alert.id == alert_id).with_for_update())
    if alert is None:
        raise NotFound(f"there is no alert {alert_id}")
    if alert.status == AlertStatus.RESOLVED:
        raise Conflict(f"alert {alert_id} is resolved already")
    return alert
