"""Rows of the outbox: new deliveries, and the decrypted config of actions."""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import orjson

from app.actions.base import Rendered
from app.actions.registry import kind_for
from app.config import Settings
from app.enums import ActionType, DeliveryStatus, NotificationType, Severity
from app.models import Action
from app.utils.crypto import Undecryptable, decrypt
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


class UnreadableAction(Undecryptable):
    """The stored config is unreadable: the row was tampered with, or a newer version of GiftPulse wrote it."""


def config_of(action: Action, settings: Settings) -> JsonObject:
    """Return the config with its secrets in clear, valid for its kind.

    Raises: Undecryptable.
    """
    text = decrypt(settings.secret_keys, action.config)
    try:
        Severity(action.min_severity)
        kind, config = kind_for(ActionType(action.action_type)), orjson.loads(text)
        usable: JsonObject = config if kind.recipients(config) and kind.mask(config) else {}
    except (ValueError, LookupError, TypeError, AttributeError):
        usable = {}
    if not usable:
        raise UnreadableAction("the stored config of the action is unreadable: save the action again")
    return usable


def config_or_empty(action: Action, settings: Settings) -> JsonObject:
    """Return the config with its secrets in clear; empty if `SECRET_KEY` does not decrypt it."""
    try:
        return config_of(action, settings)
    except Undecryptable:
        return {}


def action_name(action: Action, settings: Settings) -> str:
    """Name an action by its recipients, as its deliveries do."""
    config = config_or_empty(action, settings)
    if not config:
        return f"an action of type {action.action_type}"
    return name_by_recipients(action.action_type, kind_for(ActionType(action.action_type)).recipients(config))


def name_by_recipients(action_type: str, recipients: Sequence[str]) -> str:
    """Name an action by its recipients."""
    # Only the host of a URL: its path may contain a secret.
    first = urlsplit(recipients[0]).netloc if action_type == ActionType.WEBHOOK else recipients[0]
    return f"the {action_type} action to {first}" + (f" and {len(recipients) - 1} more" if recipients[1:] else "")


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
