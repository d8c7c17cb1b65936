"""Writes down how attempts ended, and what becomes of deliveries and actions; every write is fenced on the lease."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from app import metrics
from app.enums import AttemptOutcome, DeliveryStatus, NotificationType
from app.models import Action, Attempt, Delivery
from app.services.outbox import limits
from app.services.outbox.backoff import next_attempt_at
from app.services.outbox.claim import Claim
from app.services.outbox.failing import disable

KEPT_CHARACTERS = 1024
GONE = "the receiver answered 410: it is gone"
NOTHING_BUT_FAILURE = "nothing but failures for five days"

log = structlog.get_logger()


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended."""

    outcome: AttemptOutcome
    """`started`: nothing was sent, the delivery is given back."""
    duration_ms: int = 0
    status_code: int | None = None
    response: str | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    disables_action: bool = False
    says_of_receiver: bool = True
    """False: it failed on our side, before the receiver was asked."""


def record(
    session: Session,
    ended: Sequence[tuple[Claim, Outcome]],
    schedule: Sequence[int],
    now: datetime,
    dice: Callable[[], float] = random.random,
) -> None:
    """Write down how attempts ended, as far as their deliveries are still ours.

    The rows of the actions are locked before those of the deliveries, as everywhere.
    """
    actions = _lock_actions(session, {each.delivery.action_id for each, _ in ended})
    tokens = _lock_deliveries(session, [each.delivery.id for each, _ in ended])
    for each, outcome in ended:
        if tokens.get(each.delivery.id) != each.token:
            log.warning(
                "an attempt ended after its lease; its outcome stays unknown", delivery_id=str(each.delivery.id)
            )
        elif outcome.outcome == AttemptOutcome.STARTED:
            _give_back(session, each)
        else:
            action = actions.get(each.delivery.action_id)
            _write(session, each, outcome, _after(each.delivery, outcome, action, schedule, now, dice))
            if action is not None:
                _learn(session, action, each.delivery, outcome, now)


def _lock_actions(session: Session, ids: set[UUID]) -> dict[UUID, Action]:
    query = select(Action).where(Action.id.in_(ids)).order_by(Action.id).with_for_update(key_share=True)
    return {each.id: each for each in session.scalars(query, execution_options={"populate_existing": True})}


def _lock_deliveries(session: Session, ids: Sequence[UUID]) -> dict[UUID, UUID | None]:
    query = select(Delivery.id, Delivery.lease_token).where(Delivery.id.in_(ids)).order_by(Delivery.id)
    return {row[0]: row[1] for row in session.execute(query.with_for_update())}


def _give_back(session: Session, each: Claim) -> None:
    """Undo a claim of which nothing came: no attempt was made."""
    session.execute(delete(Attempt).where(Attempt.delivery_id == each.delivery.id, Attempt.token == each.token))
    session.execute(
        update(Delivery)
        .where(Delivery.id == each.delivery.id)
        .values(lease_token=None, lease_until=None, attempt_count=Delivery.attempt_count - 1)
    )


def _write(session: Session, each: Claim, outcome: Outcome, becomes: dict[str, object]) -> None:
    delivery = each.delivery
    error = "; ".join(part for part in (outcome.error, delivery.warning) if part)
    session.execute(
        update(Attempt)
        .where(Attempt.delivery_id == delivery.id, Attempt.token == each.token)
        .values(
            outcome=outcome.outcome,
            duration_ms=outcome.duration_ms,
            status_code=outcome.status_code,
            response=(outcome.response or "")[:KEPT_CHARACTERS] or None,
            error=error or None,
        )
    )
    session.execute(
        update(Delivery).where(Delivery.id == delivery.id).values(lease_token=None, lease_until=None, **becomes)
    )
    counts = metrics.DELIVERIES.one(action_type=delivery.action_type, outcome=outcome.outcome)
    metrics.count(session, counts | metrics.observe(metrics.DELIVERY_DURATION.name, {}, outcome.duration_ms / 1000))


def _after(
    delivery: Delivery,
    outcome: Outcome,
    action: Action | None,
    schedule: Sequence[int],
    now: datetime,
    dice: Callable[[], float],
) -> dict[str, object]:
    """Say what becomes of a delivery after an attempt. The test of an action is tried once: somebody waits for it."""
    if outcome.outcome == AttemptOutcome.SUCCEEDED:
        return {"status": DeliveryStatus.SUCCEEDED, "finished_at": now, "next_attempt_at": None}
    usable = action is not None and action.enabled
    if outcome.outcome == AttemptOutcome.RETRY and usable and delivery.type != NotificationType.TEST:
        attempts = delivery.attempt_count - delivery.retries_from
        at = next_attempt_at(schedule, attempts, now, outcome.retry_after_seconds, dice)
        if at is not None:
            return {"next_attempt_at": at}
    return {"status": DeliveryStatus.FAILED, "finished_at": now, "next_attempt_at": None}


def _learn(session: Session, action: Action, delivery: Delivery, outcome: Outcome, now: datetime) -> None:
    """Learn from an outcome how the action's receiver fares; disable the action where it is past hope."""
    if outcome.outcome == AttemptOutcome.SUCCEEDED:
        action.failures_in_a_row, action.probe_at, action.failing_since = 0, None, None
        return
    if not outcome.says_of_receiver or delivery.type == NotificationType.TEST:
        return
    passing = outcome.outcome == AttemptOutcome.RETRY
    action.failures_in_a_row = action.failures_in_a_row + 1 if passing else 0
    action.probe_at = limits.probe_at(action.failures_in_a_row, now)
    action.failing_since = action.failing_since or now
    if not action.enabled:
        return
    if outcome.disables_action:
        disable(session, action, GONE, now)
    elif limits.is_given_up(action.failing_since, now) and _tried_since(session, action) >= limits.GIVEN_UP_DELIVERIES:
        disable(session, action, NOTHING_BUT_FAILURE, now)


def _tried_since(session: Session, action: Action) -> int:
    """Count the deliveries that were tried since the action began to fail."""
    session.flush()
    still = or_(Delivery.finished_at.is_(None), Delivery.finished_at >= action.failing_since)
    tried = select(func.count()).where(Delivery.action_id == action.id, Delivery.attempt_count > 0, still)
    return session.scalar(tried) or 0
