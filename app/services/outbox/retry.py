"""Manual retries: a failed delivery restarts its schedule under the same id."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import wake
from app.database import after_commit
from app.enums import DeliveryStatus
from app.errors import Conflict, NotFound
from app.models import Action, Delivery
from app.services.outbox import digest
from app.services.outbox.cancellation import OTHER_KIND

# A delivery that kept only its item for a digest cannot be sent by itself: `digest.is_folded` as SQL.
_IS_FOLDED = "content ?& CAST(:kept AS text[]) AND content - CAST(:kept AS text[]) = CAST('{}' AS jsonb)"
_RETRY_FAILED = f"""
    UPDATE deliveries SET
        status = CASE WHEN {_IS_FOLDED} THEN 'folded' ELSE 'pending' END,
        next_attempt_at = CASE WHEN {_IS_FOLDED} THEN NULL ELSE CAST(:now AS timestamptz) END,
        retries_from = attempt_count, finished_at = NULL
    WHERE action_id = :action_id AND action_type = :action_type AND status = 'failed' AND created_at >= :since
    RETURNING id
"""


def retry_failed(session: Session, action_id: UUID, since: datetime, now: datetime) -> int:
    """Retry the failed deliveries of an action, of its present type, created since then; return how many.

    Folded ones wait for the next digest.

    Raises: NotFound; Conflict if the action is disabled.
    """
    # As in `retry`: the action is not edited or deleted until this transaction ends.
    query = select(Action).where(Action.id == action_id).with_for_update(read=True, key_share=True)
    action = session.scalar(query)
    if action is None:
        raise NotFound(f"there is no action {action_id}")
    if not action.enabled:
        raise Conflict(f"action {action_id} is disabled: enable it, then retry its deliveries")
    given: dict[str, object] = {"action_id": action_id, "action_type": action.action_type, "since": since, "now": now}
    given["kept"] = sorted(digest.FOLDED_CONTENT)
    retried = len(session.scalars(text(_RETRY_FAILED), given).all())
    if retried:
        after_commit(session, wake.deliver)
    return retried


def count_failed(session: Session, action_id: UUID, since: datetime) -> int:
    """Count what `retry_failed` would retry."""
    query = select(func.count()).select_from(Delivery).join(Action, Action.id == Delivery.action_id)
    failed = Delivery.status == DeliveryStatus.FAILED
    of_action = query.where(Delivery.action_id == action_id, Delivery.action_type == Action.action_type, failed)
    return session.scalar(of_action.where(Delivery.created_at >= since)) or 0


def count_failed_by_action(session: Session, since: datetime) -> dict[UUID, int]:
    """Count what `retry_failed` would retry, for each enabled action with failed deliveries."""
    query = (
        select(Delivery.action_id, func.count().label("failed"))
        .join(Action, Action.id == Delivery.action_id)
        .where(Action.enabled, Delivery.action_type == Action.action_type, Delivery.status == DeliveryStatus.FAILED)
        .where(Delivery.created_at >= since)
        .group_by(Delivery.action_id)
    )
    return {row.action_id: row.failed for row in session.execute(query)}


def retry(session: Session, delivery_id: UUID, now: datetime) -> Delivery:
    """Make a failed delivery due now, or let it wait for a digest again if it was folded.

    Raises: NotFound; Conflict if it is pending, succeeded or was sent within a digest, or if its action was deleted or
            is of another kind now.
    """
    action_id = session.scalar(select(Delivery.action_id).where(Delivery.id == delivery_id))
    if action_id is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    # The action must not be deleted or edited until this transaction ends: nobody would ever send the delivery.
    kind = select(Action.action_type).where(Action.id == action_id).with_for_update(read=True, key_share=True)
    action_type = session.scalar(kind)
    delivery = session.get_one(Delivery, delivery_id, with_for_update=True)
    if action_type is None:
        raise Conflict(f"delivery {delivery_id} cannot be retried: its action was deleted")
    if action_type != delivery.action_type:
        raise Conflict(f"delivery {delivery_id} cannot be retried: it was {OTHER_KIND}")
    if delivery.status != DeliveryStatus.FAILED:
        raise Conflict(f"delivery {delivery_id} is {delivery.status}: only a failed one can be retried")
    waits = digest.is_folded(delivery.content)
    delivery.status = DeliveryStatus.FOLDED if waits else DeliveryStatus.PENDING
    delivery.next_attempt_at = None if waits else now
    delivery.retries_from = delivery.attempt_count
    delivery.finished_at = None
    session.flush()
    after_commit(session, wake.deliver)
    return delivery
