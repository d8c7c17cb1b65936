"""Records the outcomes of attempts, and updates deliveries and actions. Every write is fenced by the lease."""

import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from app import metrics
from app.bulk import update_rows
from app.database import after_commit
from app.enums import AttemptOutcome, DeliveryStatus, NotificationType
from app.models import Action, Attempt, Delivery
from app.services.outbox import limits
from app.services.outbox.backoff import next_attempt_at
from app.services.outbox.cancellation import disable
from app.services.outbox.claim import Claim

MAX_RESPONSE_LENGTH = 1024
GONE = "the receiver answered 410: it is gone"
ONLY_FAILURES = f"nothing but failures for {limits.DISABLE_AFTER.days} days"

log = structlog.get_logger()


@dataclass(frozen=True)
class AttemptResult:
    """How one attempt ended."""

    outcome: AttemptOutcome
    """`started`: nothing was sent, and the claim is released."""
    duration_ms: int = 0
    status_code: int | None = None
    response: str | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    disables_action: bool = False
    counts_for_breaker: bool = True
    """False: it failed on our side, before the receiver was contacted."""


def record(
    session: Session,
    ended: Sequence[tuple[Claim, AttemptResult]],
    schedule: Sequence[int],
    now: datetime,
    rng: Callable[[], float] = random.random,
) -> None:
    """Record the outcomes of attempts whose lease is still ours.

    The rows of actions are locked before those of deliveries, as everywhere.
    """
    actions = _lock_actions(session, {claim.delivery.action_id for claim, _ in ended})
    tokens = _lock_deliveries(session, [claim.delivery.id for claim, _ in ended])
    ours: list[tuple[Claim, AttemptResult]] = []
    for claim, result in ended:
        if tokens.get(claim.delivery.id) != claim.token:
            log.warning(
                "an attempt ended after its lease; its outcome stays unknown", delivery_id=str(claim.delivery.id)
            )
        elif result.outcome == AttemptOutcome.STARTED:
            _release_claim(session, claim)
        else:
            ours.append((claim, result))
    _write_attempts(session, ours)
    _write_deliveries(session, ours, actions, schedule, now, rng)
    _count(session, ours)
    if ours:
        after_commit(session, partial(_log, ours))
    for claim, result in ours:
        if (action := actions.get(claim.delivery.action_id)) is not None:
            _update_breaker(session, action, claim.delivery, result, now)


def _log(ours: Sequence[tuple[Claim, AttemptResult]]) -> None:
    """Log each attempt, without its error: the receiver's text may contain numbers and secrets."""
    for claim, result in ours:
        log.log(
            logging.INFO if result.outcome == AttemptOutcome.SUCCEEDED else logging.WARNING,
            "delivery attempted",
            delivery_id=str(claim.delivery.id),
            alert_id=None if claim.delivery.alert_id is None else str(claim.delivery.alert_id),
            action_id=str(claim.delivery.action_id),
            action_type=claim.delivery.action_type,
            notification=claim.delivery.type,
            attempt=claim.delivery.attempt_count,
            outcome=result.outcome.value,
            status_code=result.status_code,
            duration_ms=result.duration_ms,
        )


def _lock_actions(session: Session, ids: set[UUID]) -> dict[UUID, Action]:
    query = select(Action).where(Action.id.in_(ids)).order_by(Action.id).with_for_update(key_share=True)
    return {each.id: each for each in session.scalars(query, execution_options={"populate_existing": True})}


def _lock_deliveries(session: Session, ids: Sequence[UUID]) -> dict[UUID, UUID | None]:
    query = select(Delivery.id, Delivery.lease_token).where(Delivery.id.in_(ids)).order_by(Delivery.id)
    return {row[0]: row[1] for row in session.execute(query.with_for_update())}


def _release_claim(session: Session, claim: Claim) -> None:
    """Release an unused claim and delete its attempt."""
    session.execute(delete(Attempt).where(Attempt.delivery_id == claim.delivery.id, Attempt.token == claim.token))
    session.execute(
        update(Delivery)
        .where(Delivery.id == claim.delivery.id)
        .values(lease_token=None, lease_until=None, attempt_count=Delivery.attempt_count - 1)
    )


def _write_attempts(session: Session, ours: Sequence[tuple[Claim, AttemptResult]]) -> None:
    rows = [
        (
            claim.delivery.id,
            claim.token,
            result.outcome,
            result.duration_ms,
            result.status_code,
            (result.response or "")[:MAX_RESPONSE_LENGTH] or None,
            "; ".join(part for part in (result.error, claim.delivery.warning) if part) or None,
        )
        for claim, result in ours
    ]
    values = {"outcome": "text", "duration_ms": "int", "status_code": "int", "response": "text", "error": "text"}
    update_rows(session, "attempts", {"delivery_id": "uuid", "token": "uuid"}, values, rows)


def _write_deliveries(
    session: Session,
    ours: Sequence[tuple[Claim, AttemptResult]],
    actions: Mapping[UUID, Action],
    schedule: Sequence[int],
    now: datetime,
    rng: Callable[[], float],
) -> None:
    """Write the new states of the deliveries and release them."""
    rows = []
    for claim, result in ours:
        action = actions.get(claim.delivery.action_id)
        status, at = _next_state(claim.delivery, result, action, schedule, now, rng)
        rows.append((claim.delivery.id, status, at, None if status == DeliveryStatus.PENDING else now, None, None))
    values = {
        "status": "text",
        "next_attempt_at": "timestamptz",
        "finished_at": "timestamptz",
        "lease_token": "uuid",
        "lease_until": "timestamptz",
    }
    update_rows(session, "deliveries", {"id": "uuid"}, values, rows)


def _count(session: Session, ours: Sequence[tuple[Claim, AttemptResult]]) -> None:
    increments: Counter[metrics.Key] = Counter()
    for claim, result in ours:
        increments[metrics.DELIVERIES.key(action_type=claim.delivery.action_type, outcome=result.outcome)] += 1
        increments.update(metrics.observe(metrics.DELIVERY_DURATION.name, {}, result.duration_ms / 1000))
    metrics.count(session, increments)


def _next_state(
    delivery: Delivery,
    result: AttemptResult,
    action: Action | None,
    schedule: Sequence[int],
    now: datetime,
    rng: Callable[[], float],
) -> tuple[DeliveryStatus, datetime | None]:
    """Return the state of a delivery after an attempt, and when it is retried.

    The test of an action has one attempt: somebody waits for it.
    """
    if result.outcome == AttemptOutcome.SUCCEEDED:
        return DeliveryStatus.SUCCEEDED, None
    usable = action is not None and action.enabled
    if result.outcome == AttemptOutcome.RETRY and usable and delivery.type != NotificationType.TEST:
        attempts = delivery.attempt_count - delivery.retries_from
        at = next_attempt_at(schedule, attempts, now, result.retry_after_seconds, rng)
        if at is not None:
            return DeliveryStatus.PENDING, at
    return DeliveryStatus.FAILED, None


def _update_breaker(session: Session, action: Action, delivery: Delivery, result: AttemptResult, now: datetime) -> None:
    """Update the breaker of an action with an outcome; disable the action if it has failed for too long."""
    if result.outcome == AttemptOutcome.SUCCEEDED:
        action.failures_in_a_row, action.probe_at, action.failing_since = 0, None, None
        return
    if not result.counts_for_breaker or delivery.type == NotificationType.TEST:
        return
    transient = result.outcome == AttemptOutcome.RETRY
    action.failures_in_a_row = action.failures_in_a_row + 1 if transient else 0
    action.probe_at = limits.probe_at(action.failures_in_a_row, now)
    action.failing_since = action.failing_since or now
    if not action.enabled:
        return
    if result.disables_action:
        disable(session, action, GONE, now)
    elif (
        limits.has_failed_for_long(action.failing_since, now)
        and _attempted_since(session, action) >= limits.DISABLE_MIN_DELIVERIES
    ):
        disable(session, action, ONLY_FAILURES, now)


def _attempted_since(session: Session, action: Action) -> int:
    """Count the deliveries that were attempted since the action began to fail."""
    session.flush()
    still = or_(Delivery.finished_at.is_(None), Delivery.finished_at >= action.failing_since)
    tried = select(func.count()).where(Delivery.action_id == action.id, Delivery.attempt_count > 0, still)
    return session.scalar(tried) or 0
