"""Sends the notifications that time alone makes due: reminders, firings that a bundle held, and those after a cooldown,
silence, acknowledgement, suppression or escalation wait. Also marks silenced and suppressed alerts.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import AlertStatus
from app.models import Alert
from app.services.alerts import escalation, silences
from app.services.alerts.changes import BUILT_IN_NOTIFY_SETTINGS, AlertChanges, NotifySettings
from app.services.alerts.state_machine import Unacknowledge
from app.services.outbox import bundle
from app.services.rules.rule import Rule


def send_due(session: Session, rules: Mapping[UUID, Rule], settings: Settings, now: datetime) -> int:
    """Create the notifications that are due; return the number of deliveries."""
    query = select(Alert).where(Alert.status != AlertStatus.RESOLVED)
    escalations, held = escalation.find_due(session, now), bundle.find_held(session)
    if not silences.active_silences(session, now):
        dependent = Alert.rule_id.in_([rule.id for rule in rules.values() if rule.depends_on])
        marked = Alert.silenced | Alert.suppressed_by.is_not(None)
        waited = Alert.id.in_(escalations.keys() | held.keys())
        query = query.where((Alert.notify_at <= now) | marked | dependent | waited)
    alerts = session.scalars(query.order_by(Alert.id).with_for_update(skip_locked=True)).all()
    if not alerts:
        return 0
    for alert in alerts:
        session.expunge(alert)
    alert_changes = AlertChanges(session, settings, now)
    alert_changes.load_previous_firings(alert.fingerprint for alert in alerts)
    for alert in alerts:
        rule = rules.get(alert.rule_id) if alert.rule_id else None
        if rule is not None or alert.rule_id is None:
            if alert.acknowledged_until is not None and alert.acknowledged_until <= now:
                alert_changes.apply(alert, Unacknowledge(now))
            notify_settings = NotifySettings.from_rule(rule) if rule else BUILT_IN_NOTIFY_SETTINGS
            alert_changes.decide_notification(
                alert, notify_settings, escalations.get(alert.id, ()), held.get(alert.id, ())
            )
    alert_changes.save_alerts()
    return alert_changes.enqueue_notices()
