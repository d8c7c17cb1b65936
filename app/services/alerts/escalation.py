"""Escalation: which actions are notified of an alert later if nobody acknowledges it, and when.

An escalation is due if an action wants the alert, its wait has ended, and it has no delivery of the firing. As all of
this is read from rows, editing the action or restarting the worker neither loses nor repeats a notification.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import AlertStatus, severity_rank
from app.models import Action, Alert
from app.services.outbox.action_config import action_name
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

_PENDING = f"""
    SELECT alerts.id AS alert_id, actions.id AS action_id,
           alerts.escalates_from + actions.after_minutes * interval '1 minute' AS at
    FROM alerts JOIN actions ON actions.enabled AND actions.after_minutes > 0 AND 'firing' = ANY(actions.notify_on)
        AND (actions.rule_id IS NULL OR actions.rule_id = alerts.rule_id)
        AND {severity_rank("alerts.severity")} >= {severity_rank("actions.min_severity")}
    WHERE alerts.status <> 'resolved' AND alerts.escalates_from IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM deliveries WHERE deliveries.alert_id = alerts.id AND deliveries.action_id = actions.id
            AND deliveries.type = 'alert.firing' AND deliveries.held_by IS NULL
        )
"""
"""The actions that wait to be notified of open alerts; `Target.escalation_time` decides the same for one notice."""
_DUE = text(f"SELECT alert_id, action_id FROM ({_PENDING}) AS pending WHERE at <= :now")
_NEXT = text(f"SELECT action_id, at FROM ({_PENDING}) AS pending WHERE alert_id = :alert_id ORDER BY at, action_id")


class Escalation(NamedTuple):
    """An action that is notified later."""

    action_id: UUID
    name: str
    """The type of the action and its recipients, without secrets."""
    at: datetime


def escalation_json(escalation: Escalation) -> JsonObject:
    """Serialize an escalation."""
    return {"action_id": str(escalation.action_id), "name": escalation.name, "at": rfc3339(escalation.at)}


def find_due(session: Session, now: datetime) -> dict[UUID, set[UUID]]:
    """Find the actions whose wait has ended, by alert. The notification policy decides whether they are notified."""
    due: dict[UUID, set[UUID]] = defaultdict(set)
    for alert_id, action_id in session.execute(_DUE, {"now": now}):
        due[alert_id].add(action_id)
    return due


def list_next(session: Session, alert: Alert, settings: Settings) -> Sequence[Escalation]:
    """List the actions that are notified next of an alert if nobody acknowledges it, the soonest first.

    While an acknowledgement lasts nobody is notified: not before its end, and never if it has none.
    """
    if alert.status != AlertStatus.FIRING and alert.acknowledged_until is None:
        return []
    rows = session.execute(_NEXT, {"alert_id": alert.id}).all()
    earliest = alert.acknowledged_until or datetime.min.replace(tzinfo=UTC)
    query = select(Action).where(Action.id.in_([row.action_id for row in rows]))
    names = {action.id: action_name(action, settings) for action in session.scalars(query)} if rows else {}
    return [Escalation(row.action_id, names[row.action_id], max(row.at, earliest)) for row in rows]
