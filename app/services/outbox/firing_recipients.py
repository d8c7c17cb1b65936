"""Who was notified of the firing of an alert: a resolve goes to the same recipients."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.enums import ActionType, NotificationType
from app.models import Action, Delivery
from app.services.outbox.notice import Notice

RecipientKey = tuple[UUID, UUID, str]
"""An alert, an action and its recipient, as `recipient_identity` identifies it."""


def received_firing(action: Action, notice: Notice, key: RecipientKey, notified: set[RecipientKey]) -> bool:
    """Return whether a recipient was notified of the firing, or its action only does not ask for firings."""
    if "firing" in action.notify_on:
        return key in notified
    assert notice.fired_at is not None, "an alert whose firing was not notified has no resolve"
    return action.created_at <= notice.fired_at


def recipient_key(notice: Notice, action_id: UUID, action_type: str, recipient: str) -> RecipientKey:
    return notice.alert_id, action_id, recipient_identity(action_type, recipient)


def recipient_identity(action_type: str, recipient: str) -> str:
    """Identify a recipient within its action. A webhook has only one, which stays the same when its URL is edited."""
    return action_type if action_type == ActionType.WEBHOOK else recipient


class FiringRecipients(NamedTuple):
    """The recipients of the firing of some alerts."""

    notified: set[RecipientKey]
    """Those with a delivery of it, by itself or within a digest."""
    bundled: set[RecipientKey]
    """Those whose delivery waits in a bundle or is held."""


def firing_recipients(session: Session, notices: Sequence[Notice]) -> FiringRecipients:
    """Find the recipients of the firing of these alerts by earlier deliveries."""
    alert_ids = {each.alert_id for each in notices}
    rows = session.execute(
        select(
            Delivery.alert_id,
            Delivery.action_id,
            Delivery.action_type,
            Delivery.recipient,
            Delivery.bundle_until,
            Delivery.held_by,
        ).where(Delivery.alert_id.in_(alert_ids), Delivery.type == NotificationType.FIRING)
    )
    notified: set[RecipientKey] = set()
    bundled: set[RecipientKey] = set()
    for row in rows:
        key = row.alert_id, row.action_id, recipient_identity(row.action_type, row.recipient)
        if row.held_by is None:
            notified.add(key)
        if row.bundle_until is not None:
            bundled.add(key)
    return FiringRecipients(notified, bundled)
