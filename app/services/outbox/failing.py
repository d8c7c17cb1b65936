"""Ends what is owed through an action that takes nothing more, and says why in an attempt, so that it can be seen."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, or_, update
from sqlalchemy.orm import Session

from app import metrics
from app.enums import AttemptOutcome, DeliveryStatus
from app.models import Action, Attempt, Delivery

DELETED = "the action was deleted"


def fail_pending(session: Session, action_id: UUID, reason: str, now: datetime) -> int:
    """Fail every delivery that is owed through an action and not under way; the caller holds the action's row.

    Returns: how many. Each can be retried by hand.
    """
    free = or_(Delivery.lease_until.is_(None), Delivery.lease_until < now)
    failed = session.execute(
        update(Delivery)
        .where(Delivery.action_id == action_id, Delivery.status == DeliveryStatus.PENDING, free)
        .values(status=DeliveryStatus.FAILED, finished_at=now, next_attempt_at=None, lease_token=None, lease_until=None)
        .returning(Delivery.id, Delivery.action_type),
    ).all()
    if not failed:
        return 0
    session.execute(
        insert(Attempt),
        [
            {
                "delivery_id": row.id,
                "token": row.id,
                "at": now,
                "duration_ms": 0,
                "outcome": AttemptOutcome.FAILED,
                "error": reason,
            }
            for row in failed
        ],
    )
    key = metrics.DELIVERIES.key(action_type=failed[0].action_type, outcome=AttemptOutcome.FAILED)
    metrics.count(session, {key: float(len(failed))})
    return len(failed)


def disable(session: Session, action: Action, reason: str, now: datetime) -> None:
    """Disable an action of our own accord, and fail what is owed through it; the caller holds its row.

    The built-in alerts tell of it through the other actions: they look for a `disabled_reason`.
    """
    action.enabled = False
    action.disabled_reason = reason
    action.updated_at = now
    session.flush()
    fail_pending(session, action.id, f"the action is disabled: {reason}", now)
