"""Takes deliveries that are due, so that no two workers send one; the attempt is on record before anything is sent."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Select, and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from app.enums import AttemptOutcome, DeliveryStatus
from app.models import Action, Attempt, Delivery

LEASE = timedelta(minutes=4)
"""Longer than any attempt may take: a worker that is silent for so long has died or slept."""
MAX_UNKNOWN = 5
"""A delivery whose attempts end so often with a dead worker is given up: it may be what kills them."""


@dataclass(frozen=True)
class Claim:
    """One delivery, ours until the lease ends."""

    delivery: Delivery
    action: Action | None
    """None: it has been deleted."""
    token: UUID


def claim_due(session: Session, now: datetime, limit: int, only: list[UUID] | None = None) -> list[Claim]:
    """Take up to `limit` due deliveries in the order they fell due, and write an attempt for each.

    A delivery waits until the earlier ones of its alert to the same receiver have ended.

    Args:    only: look at no others than these.
    """
    query = _due(now)
    if only is not None:
        query = query.where(Delivery.id.in_(only))
    ids = session.scalars(query.order_by(Delivery.next_attempt_at, Delivery.number).limit(limit)).all()
    if not ids:
        return []
    _mark_unknown(session, list(ids))
    token = uuid4()
    deliveries = session.scalars(
        update(Delivery)
        .where(Delivery.id.in_(ids))
        .values(lease_token=token, lease_until=now + LEASE, attempt_count=Delivery.attempt_count + 1)
        .returning(Delivery),
        execution_options={"populate_existing": True},
    ).all()
    started = [
        {"delivery_id": each.id, "token": token, "at": now, "outcome": AttemptOutcome.STARTED} for each in deliveries
    ]
    session.execute(insert(Attempt).values(started))
    actions = {
        action.id: action
        for action in session.scalars(select(Action).where(Action.id.in_({each.action_id for each in deliveries})))
    }
    return [
        Claim(each, actions.get(each.action_id), token) for each in sorted(deliveries, key=lambda each: each.number)
    ]


def _due(now: datetime) -> Select[UUID]:
    earlier = aliased(Delivery)
    blocked = exists().where(
        earlier.alert_id == Delivery.alert_id,
        earlier.action_id == Delivery.action_id,
        earlier.recipient == Delivery.recipient,
        earlier.number < Delivery.number,
        earlier.status == DeliveryStatus.PENDING,
    )
    free = or_(Delivery.lease_until.is_(None), Delivery.lease_until < now)
    query = select(Delivery.id).where(
        Delivery.status == DeliveryStatus.PENDING, Delivery.next_attempt_at <= now, free, ~blocked
    )
    return query.with_for_update(skip_locked=True, of=Delivery)


def _mark_unknown(session: Session, ids: list[UUID]) -> None:
    """Close the attempts that a dead worker left open: they may or may not have been received."""
    session.execute(
        update(Attempt)
        .where(Attempt.delivery_id.in_(ids), Attempt.outcome == AttemptOutcome.STARTED)
        .values(outcome=AttemptOutcome.UNKNOWN, error="the worker stopped before the outcome was known")
    )


def unknown_in_a_row(session: Session, delivery_id: UUID) -> int:
    """Count the attempts of unknown outcome since the last one that ended in any other way."""
    ended = and_(
        Attempt.delivery_id == delivery_id, Attempt.outcome.not_in([AttemptOutcome.UNKNOWN, AttemptOutcome.STARTED])
    )
    last = select(func.coalesce(func.max(Attempt.id), 0)).where(ended).scalar_subquery()
    unknown = and_(Attempt.delivery_id == delivery_id, Attempt.outcome == AttemptOutcome.UNKNOWN, Attempt.id > last)
    return session.scalar(select(func.count()).where(unknown)) or 0


def owned(session: Session, claim: Claim) -> bool:
    """Lock the claimed delivery and say whether it is still ours: a late worker must write over nothing."""
    token = session.scalar(select(Delivery.lease_token).where(Delivery.id == claim.delivery.id).with_for_update())
    return token == claim.token
