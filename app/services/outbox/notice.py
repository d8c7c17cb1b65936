"""A notification about an alert, before it is rendered."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.enums import NotificationType, Severity
from app.models import Alert
from app.services.serializers import alert_json
from app.utils.json_types import JsonObject


@dataclass(frozen=True)
class Notice:
    """A notification about an alert as it is at that moment."""

    type: NotificationType
    alert_id: UUID
    rule_id: UUID | None
    severity: Severity
    shown: JsonObject
    """The alert as the API shows it."""
    fired_at: datetime | None = None
    """When receivers were notified of its firing."""
    escalates_from: datetime | None = None
    """When the wait of escalating actions begins."""
    only_actions: frozenset[UUID] = frozenset()
    """Only these actions are notified: their wait or hold has ended. Empty: every action without a wait."""


def make_notice(
    notification_type: NotificationType, alert: Alert, only_actions: frozenset[UUID] = frozenset()
) -> Notice:
    """Create a notice from an alert."""
    return Notice(
        notification_type,
        alert.id,
        alert.rule_id,
        Severity(alert.severity),
        alert_json(alert),
        alert.firing_notified_at,
        alert.escalates_from,
        only_actions,
    )
