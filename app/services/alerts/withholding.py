"""Finds the open alerts that are withheld now, and why. Used when their waiting notifications are about to be sent."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.enums import AlertStatus, HoldReason
from app.models import Alert, Rule
from app.services.alerts import silences
from app.services.alerts.dependencies import load_dependencies


def withheld(session: Session, alert_ids: Collection[UUID], now: datetime) -> dict[UUID, HoldReason]:
    """Return what withholds each of these alerts now, even before a tick records it; the others are left out."""
    query = select(Alert).where(Alert.id.in_(alert_ids), Alert.status != AlertStatus.RESOLVED)
    alerts = session.scalars(query.execution_options(populate_existing=True)).all()
    for alert in alerts:
        session.expunge(alert)
    suppressed = _suppressed(session, alerts)
    active = silences.active_silences(session, now)
    found: dict[UUID, HoldReason] = {}
    for alert in alerts:
        if silences.is_silenced(active, alert.rule_id, alert.group):
            found[alert.id] = HoldReason.SILENCE
        elif _is_acknowledged(alert, now):
            found[alert.id] = HoldReason.ACKNOWLEDGEMENT
        elif alert.id in suppressed:
            found[alert.id] = HoldReason.DEPENDENCY
    return found


def _is_acknowledged(alert: Alert, now: datetime) -> bool:
    has_ended = alert.acknowledged_until is not None and alert.acknowledged_until <= now
    return alert.status == AlertStatus.ACKNOWLEDGED and not has_ended


def _suppressed(session: Session, alerts: Collection[Alert]) -> set[UUID]:
    rule_ids = {alert.rule_id for alert in alerts if alert.rule_id}
    rows = session.execute(select(Rule.id, Rule.depends_on).where(Rule.id.in_(rule_ids)))
    depends_on = {row.id: row.depends_on for row in rows if row.depends_on}
    if not depends_on:
        return set()
    dependencies = load_dependencies(session)
    return {
        alert.id
        for alert in alerts
        if alert.rule_id in depends_on and dependencies.suppressor(alert, depends_on[alert.rule_id], ())
    }
