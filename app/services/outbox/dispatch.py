"""Sends what is due: claim, close the transaction, send many at once, and record each outcome."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
import structlog
from sqlalchemy import update

from app import metrics
from app.actions.base import Envelope, Receipt, Sender, SendError
from app.actions.registry import kind_for
from app.config import Settings
from app.database import session_scope
from app.enums import ActionType, AttemptOutcome, DeliveryStatus, NotificationType
from app.models import Action, Attempt, Delivery
from app.services.outbox import claim as claims
from app.services.outbox.backoff import next_attempt_at
from app.utils.clock import utc_now
from app.utils.crypto import Undecryptable, decrypt

BATCH = 20
"""Deliveries claimed and sent at once."""
KEPT_RESPONSE_BYTES = 1024

log = structlog.get_logger()
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class _Outcome:
    """How one attempt ended."""

    outcome: AttemptOutcome
    duration_ms: int
    status_code: int | None = None
    response: str | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    disables_action: bool = False


def deliver_due(
    settings: Settings, runner: asyncio.Runner, clock: Clock = utc_now, only: list[UUID] | None = None
) -> int:
    """Send one batch of due deliveries; return how many were attempted.

    Args:
        runner: keeps one event loop for the life of the process.
        only: look at no others than these.
    """
    with session_scope() as session:
        claimed = claims.claim_due(session, clock(), BATCH, only)
        poisoned = {
            each.delivery.id
            for each in claimed
            if each.delivery.attempt_count > claims.MAX_UNKNOWN
            and claims.unknown_in_a_row(session, each.delivery.id) >= claims.MAX_UNKNOWN
        }
        session.expunge_all()
    outcomes = runner.run(_send_all(claimed, poisoned, settings)) if claimed else []
    for each, outcome in zip(claimed, outcomes, strict=True):
        _record(each, outcome, settings, clock)
    return len(claimed)


async def _send_all(claimed: list[claims.Claim], poisoned: set[UUID], settings: Settings) -> list[_Outcome]:
    async with AsyncExitStack() as stack:
        types = {ActionType(each.action.action_type) for each in claimed if each.action is not None}
        senders = {kind: await stack.enter_async_context(kind_for(kind).connected()) for kind in types}
        return list(
            await asyncio.gather(*(_attempt(each, each.delivery.id in poisoned, senders, settings) for each in claimed))
        )


async def _attempt(
    each: claims.Claim, poisoned: bool, senders: Mapping[ActionType, Sender], settings: Settings
) -> _Outcome:
    """Make one attempt; whatever happens, it has an outcome."""
    began = time.monotonic()

    def failed(outcome: AttemptOutcome, error: str) -> _Outcome:
        return _Outcome(outcome, int((time.monotonic() - began) * 1000), error=error)

    if poisoned:
        return failed(AttemptOutcome.FAILED, f"given up: {claims.MAX_UNKNOWN} attempts in a row ended with the worker")
    if each.action is None:
        return failed(AttemptOutcome.FAILED, "the action was deleted")
    if not each.action.enabled and each.delivery.type != NotificationType.TEST:
        return failed(AttemptOutcome.FAILED, "the action is disabled; enable it and retry the delivery")
    try:
        receipt = await _send(each.action, each.delivery, senders, settings)
    except SendError as error:
        return _Outcome(
            AttemptOutcome.FAILED if error.permanent else AttemptOutcome.RETRY,
            int((time.monotonic() - began) * 1000),
            error.status_code,
            error.response or None,
            str(error),
            error.retry_after_seconds,
            error.disables_action,
        )
    except Undecryptable as error:
        return failed(AttemptOutcome.FAILED, str(error))
    except Exception as error:  # one broken sender must not stop the others of its batch
        log.exception("a sender failed in a way of its own", action_type=each.action.action_type)
        return failed(AttemptOutcome.RETRY, f"the sender failed: {type(error).__name__}")
    duration_ms = int((time.monotonic() - began) * 1000)
    return _Outcome(AttemptOutcome.SUCCEEDED, duration_ms, receipt.status_code, receipt.response)


async def _send(
    action: Action, delivery: Delivery, senders: Mapping[ActionType, Sender], settings: Settings
) -> Receipt:
    config = orjson.loads(decrypt(settings.secret_keys, action.config))
    envelope = Envelope(
        delivery_id=str(delivery.id),
        alert_id=str(delivery.alert_id) if delivery.alert_id else None,
        type=NotificationType(delivery.type),
        recipient=delivery.recipient,
        content=delivery.content,
        created_at=delivery.created_at,
    )
    return await senders[ActionType(action.action_type)].send(config, envelope)


def _record(each: claims.Claim, outcome: _Outcome, settings: Settings, clock: Clock) -> None:
    """Write down how the attempt ended, and what becomes of the delivery, if it is still ours."""
    delivery, now = each.delivery, clock()
    with session_scope() as session:
        if not claims.owned(session, each):
            log.warning("an attempt ended after its lease; its outcome stays unknown", delivery_id=str(delivery.id))
            return
        error = "; ".join(part for part in (outcome.error, delivery.warning) if part)
        session.execute(
            update(Attempt)
            .where(Attempt.delivery_id == delivery.id, Attempt.token == each.token)
            .values(
                outcome=outcome.outcome,
                duration_ms=outcome.duration_ms,
                status_code=outcome.status_code,
                response=(outcome.response or "")[:KEPT_RESPONSE_BYTES] or None,
                error=error or None,
            )
        )
        values = _after(delivery, outcome, settings, now)
        session.execute(
            update(Delivery).where(Delivery.id == delivery.id).values(lease_token=None, lease_until=None, **values)
        )
        if outcome.disables_action:
            gone = "the receiver answered 410: it is gone"
            session.execute(
                update(Action)
                .where(Action.id == delivery.action_id)
                .values(enabled=False, disabled_reason=gone, updated_at=now)
            )
        counts = metrics.DELIVERIES.one(action_type=delivery.action_type, outcome=outcome.outcome)
        metrics.count(session, counts | metrics.observe(metrics.DELIVERY_DURATION.name, {}, outcome.duration_ms / 1000))


def _after(delivery: Delivery, outcome: _Outcome, settings: Settings, now: datetime) -> dict[str, object]:
    """Say what becomes of a delivery after an attempt."""
    if outcome.outcome == AttemptOutcome.SUCCEEDED:
        return {"status": DeliveryStatus.SUCCEEDED, "finished_at": now, "next_attempt_at": None}
    if outcome.outcome == AttemptOutcome.RETRY:
        attempts = delivery.attempt_count - delivery.retries_from
        at = next_attempt_at(settings.delivery_retry_seconds, attempts, now, outcome.retry_after_seconds, random.random)
        if at is not None:
            return {"next_attempt_at": at}
    return {"status": DeliveryStatus.FAILED, "finished_at": now, "next_attempt_at": None}
