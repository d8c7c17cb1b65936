"""Rows of the outbox: new deliveries, and the order in which they are sent."""

from datetime import datetime
from uuid import UUID, uuid4

from app.actions.base import Rendered
from app.enums import DeliveryStatus, NotificationType
from app.models import Action
from app.utils.json_types import JsonObject

BLOCKED_BY_EARLIER = (
    "EXISTS (SELECT 1 FROM deliveries e LEFT JOIN deliveries g ON g.id = e.digest_id"
    " WHERE e.alert_id = d.alert_id AND e.action_id = d.action_id"
    " AND (e.recipient = d.recipient OR (e.action_type = 'webhook' AND d.action_type = 'webhook'))"
    " AND e.number < d.number AND (e.status = 'pending'"
    " OR (e.status = 'folded' AND (e.digest_id IS NULL OR g.status = 'pending'))))"
)
"""SQL: the delivery `d` waits for an earlier one of its alert to the same receiver, by itself or within a digest.

A webhook is one receiver, even if its URL has changed."""


def delivery_row(
    action: Action,
    notification_type: NotificationType,
    alert_id: UUID | None,
    recipient: str,
    rendered: Rendered,
    now: datetime,
) -> JsonObject:
    """Build the row of a delivery that is due now."""
    return {
        "id": uuid4(),
        "alert_id": alert_id,
        "action_id": action.id,
        "action_type": action.action_type,
        "type": notification_type,
        "recipient": recipient,
        "status": DeliveryStatus.PENDING,
        "content": dict(rendered.content),
        "warning": rendered.warning,
        "created_at": now,
        "next_attempt_at": now,
        "bundle_until": None,
        "held_by": None,
        "bundle_item": None,
    }
