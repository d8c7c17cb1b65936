"""Tells what time alone has made due: after a cooldown, an update, or a silence; and marks what is silenced."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import AlertStatus
from app.models import Alert
from app.services.alerts import silences
from app.services.alerts.register import BUILT_IN_HABITS, Habits, Register
from app.services.rules.types import Rule


def tell_due(session: Session, rules: Mapping[UUID, Rule], settings: Settings, now: datetime) -> int:
    """Make the notifications that are due by now; return how many deliveries that were."""
    query = select(Alert).where(Alert.status != AlertStatus.RESOLVED)
    if not silences.active(session, now):
        query = query.where((Alert.notify_at <= now) | Alert.silenced)
    alerts = session.scalars(query.order_by(Alert.id).with_for_update(skip_locked=True)).all()
    if not alerts:
        return 0
    for alert in alerts:
        session.expunge(alert)
    register = Register(session, settings, now)
    register.load_previous_firings(alert.fingerprint for alert in alerts)
    for alert in alerts:
        rule = rules.get(alert.rule_id) if alert.rule_id else None
        if rule is not None or alert.rule_id is None:
            register.move(alert)
            register.tell(alert, Habits.of(rule) if rule else BUILT_IN_HABITS)
    register.save_alerts()
    return register.save_notices()
