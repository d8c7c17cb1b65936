"""Fails the pending deliveries of a disabled, deleted or changed action. An attempt records the reason."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, insert, or_, text, update
from sqlalchemy.orm import Session

from app import metrics
from app.enums import AttemptOutcome, DeliveryStatus
from app.models import Action, Attempt, Delivery

DELETED = "the action was deleted"
OTHER_KIND = "made for another type of action: the action's type was changed since"


def fail_pending(session: Session, action_id: UUID, reason: str, now: datetime) -> int:
    """Fail the pending deliveries of an action that are not in flight. The caller has locked the action's row.

    Returns: how many. Each can be retried manually.
    """
    return _fail(session, and_(Delivery.action_id == action_id, _pending(now)), reason, now)


def fail_all(session: Session, action_id: UUID, now: datetime, reason: str = DELETED) -> int:
    """Fail the pending deliveries of an action that will never send them, folded ones included; return how many."""
    waiting = and_(Delivery.status == DeliveryStatus.FOLDED, Delivery.digest_id.is_(None))
    return _fail(session, and_(Delivery.action_id == action_id, or_(_pending(now), waiting)), reason, now)


def fail_orphans(session: Session, now: datetime) -> int:
    """Fail the pending deliveries of deleted actions: nothing else would end them; return how many.

    A worker that died while its action was deleted leaves such deliveries; an earlier release did, too.
    """
    return sum(fail_all(session, action_id, now) for action_id in session.scalars(_ORPHANED_ACTIONS).all())


# Walks the index of due deliveries action by action: millions of rows may be pending.
_ORPHANED_ACTIONS = text(
    "WITH RECURSIVE pending AS ("
    " (SELECT action_id FROM deliveries WHERE status = 'pending' ORDER BY action_id LIMIT 1)"
    " UNION ALL"
    " SELECT (SELECT d.action_id FROM deliveries d WHERE d.status = 'pending' AND d.action_id > o.action_id"
    "  ORDER BY d.action_id LIMIT 1) FROM pending o WHERE o.action_id IS NOT NULL)"
    " SELECT action_id FROM pending o"
    " WHERE action_id IS NOT NULL AND NOT EXISTS (SELECT FROM actions a WHERE a.id = o.action_id)"
)


def _pending(now: datetime) -> ColumnElement[bool]:
    """Deliveries that are pending and not leased."""
    free = or_(Delivery.lease_until.is_(None), Delivery.lease_until < now)
    return and_(Delivery.status == DeliveryStatus.PENDING, free)


def _fail(session: Session, which: ColumnElement[bool], reason: str, now: datetime) -> int:
    failed = session.execute(
        update(Delivery)
        .where(which)
        .values(
            status=DeliveryStatus.FAILED,
            finished_at=now,
            next_attempt_at=None,
            bundle_until=None,
            held_by=None,
            lease_token=None,
            lease_until=None,
        )
        .returning(Delivery.id, Delivery.action_type),
    ).all()
    if not failed:
        return 0
    close_unknown(session, [row.id for row in failed])
    ended = {"at": now, "duration_ms": 0, "outcome": AttemptOutcome.FAILED, "error": reason}
    session.execute(insert(Attempt), [{"delivery_id": row.id, "token": row.id, **ended} for row in failed])
    _count(session, [row.action_type for row in failed], AttemptOutcome.FAILED)
    return len(failed)


def close_unknown(session: Session, ids: Sequence[UUID]) -> None:
    """Close the attempts that a dead worker left open: their receivers may or may not have got them."""
    closed = session.scalars(
        update(Attempt)
        .where(Attempt.delivery_id.in_(ids), Attempt.outcome == AttemptOutcome.STARTED)
        .where(Delivery.id == Attempt.delivery_id)
        .values(outcome=AttemptOutcome.UNKNOWN, error="the worker stopped before the outcome was known")
        .returning(Delivery.action_type),
        execution_options={"synchronize_session": False},
    )
    _count(session, closed, AttemptOutcome.UNKNOWN)


def _count(session: Session, action_types: Iterable[str], outcome: AttemptOutcome) -> None:
    """Count attempts that ended without sending."""
    metrics.count(session, Counter(metrics.DELIVERIES.key(action_type=each, outcome=outcome) for each in action_types))


def disable(session: Session, action: Action, reason: str, now: datetime) -> None:
    """Disable an action automatically and fail its pending deliveries. The caller has locked its row.

    A built-in alert notifies the other actions of it: it looks for a `disabled_reason`.
    """
    action.enabled = False
    action.disabled_reason = reason
    action.updated_at = now
    session.flush()
    fail_pending(session, action.id, f"the action is disabled: {reason}", now)
