"""Sends due deliveries: claim, commit, send many at once, and record each outcome as it arrives."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from datetime import datetime

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.actions.base import Envelope, NotContacted, Receipt, Sender, SendError
from app.actions.registry import kind_for
from app.config import Settings
from app.database import session_scope
from app.enums import ActionType, AttemptOutcome, NotificationType
from app.services.outbox import bundle, cancellation, digest
from app.services.outbox import claim as claims
from app.services.outbox.action_config import config_of
from app.services.outbox.claim import Claim
from app.services.outbox.record import AttemptResult, record
from app.utils import stopping
from app.utils.clock import Clock
from app.utils.crashpoints import crashpoint
from app.utils.crypto import Undecryptable
from app.utils.db_retry import OUTAGE_WAITS_SECONDS, is_transient

MAX_IN_FLIGHT = 48
"""Deliveries that one process sends at the same time."""
CLAIM_PERIOD_SECONDS = 10.0
"""After this long, or when the worker stops, it claims nothing more and finishes sends in flight."""
POLL_INTERVAL_SECONDS = 0.5
GATHER_SECONDS = 0.02
"""Attempts that end within this long of the first are recorded together: that costs no more than one."""
RECORDING_MARGIN_SECONDS = 10.0
"""What must be left of a lease after the longest attempt, to record its outcome."""

log = structlog.get_logger()


def deliver_due(
    settings: Settings, runner: asyncio.Runner, withheld: bundle.Withheld, clock: Clock | None = None
) -> int:
    """Send deliveries until none is due or the time is up; return how many were attempted.

    Args:
        runner: keeps one event loop for the life of the process.
        withheld: returns the alerts of an ended bundle that nobody is notified of now.
        clock: replaces the database's clock, which all workers share.
    """
    with session_scope() as session:
        now = _now(session, clock)
        cancellation.fail_orphans(session, now)
        bundle.release_due(session, settings, withheld, now)
        digest.make_due(session, settings, now)
    return runner.run(_DeliveryLoop(settings, clock).run())


def deliver_claimed(settings: Settings, runner: asyncio.Runner, claimed: Sequence[Claim]) -> None:
    """Make one attempt at each of these claimed deliveries."""
    runner.run(_DeliveryLoop(settings, None).run(claimed))


def _now(session: Session, clock: Clock | None) -> datetime:
    if clock is not None:
        return clock()
    at: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return at


class _DeliveryLoop:
    """Keeps as many attempts in flight as allowed; a slow receiver delays no other."""

    def __init__(self, settings: Settings, clock: Clock | None) -> None:
        self._settings = settings
        self._clock = clock
        self._senders: dict[str, Sender | None] = {}
        self._running: dict[asyncio.Task[AttemptResult], Claim] = {}
        self._attempted = 0

    async def run(self, claimed: Sequence[Claim] = ()) -> int:
        """Send until nothing is due, or only the given claims."""
        ends_at = time.monotonic() + CLAIM_PERIOD_SECONDS
        async with AsyncExitStack() as self._stack:
            try:
                await self._start(claimed)
                while True:
                    if not claimed and time.monotonic() < ends_at and not stopping.requested():
                        await self._start(self._claim_if_possible())
                    if not self._running:
                        return self._attempted
                    await self._finish()
            finally:
                for task in self._running:
                    task.cancel()
                await asyncio.gather(*self._running, return_exceptions=True)

    def _claim_if_possible(self) -> list[Claim]:
        """Claim. If the database does not answer, finish in-flight sends before raising."""
        try:
            return self._claim()
        except Exception as error:
            if not self._running or not is_transient(error):
                raise
            log.warning("could not claim deliveries; sends in flight continue", error=type(error).__name__)
            return []

    def _claim(self) -> list[Claim]:
        if len(self._running) >= MAX_IN_FLIGHT:
            return []
        with session_scope() as session:
            limit = MAX_IN_FLIGHT - len(self._running)
            schedule = self._settings.delivery_retry_seconds
            claimed = claims.claim_due(session, _now(session, self._clock), limit, schedule)
            session.flush()
            session.expunge_all()
        if claimed:
            crashpoint("deliver.claimed")
        return claimed

    async def _start(self, claimed: Sequence[Claim]) -> None:
        for each in claimed:
            sender = await self._sender_for(each.action.action_type)
            task = asyncio.create_task(_attempt(each, sender, self._settings))
            self._running[task] = each
        self._attempted += len(claimed)

    async def _sender_for(self, action_type: str) -> Sender | None:
        """Return the sender of a kind of action; None if this version does not know the kind."""
        if action_type not in self._senders:
            known = action_type in set(ActionType)
            connected = kind_for(ActionType(action_type)).connected() if known else nullcontext()
            self._senders[action_type] = await self._stack.enter_async_context(connected)
        return self._senders[action_type]

    async def _finish(self) -> None:
        """Wait for some attempts to end and record their outcomes."""
        done, _ = await asyncio.wait(self._running, timeout=POLL_INTERVAL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            return
        if self._running.keys() - done:
            more, _ = await asyncio.wait(self._running.keys() - done, timeout=GATHER_SECONDS)
            done |= more
        crashpoint("deliver.sent")
        ended = [(self._running.pop(task), task.result()) for task in done]
        # An outcome that is not recorded means a message that is sent twice: retrying the write is worth the wait.
        for wait in (*OUTAGE_WAITS_SECONDS, None):
            try:
                with session_scope() as session:
                    record(session, ended, self._settings.delivery_retry_seconds, _now(session, self._clock))
                    crashpoint("deliver.recording")
                break
            except Exception as error:
                if wait is None or not is_transient(error):
                    raise
                log.warning("could not record the outcomes of attempts; retrying", error=type(error).__name__)
                await asyncio.sleep(wait)
        crashpoint("deliver.recorded")


async def _attempt(claim: Claim, sender: Sender | None, settings: Settings) -> AttemptResult:
    """Make one attempt. It has an outcome in every case."""
    began = time.monotonic()
    if refusal := _refusal(claim, sender):
        return AttemptResult(AttemptOutcome.FAILED, 0, error=refusal, counts_for_breaker=False)
    kind = kind_for(ActionType(claim.action.action_type))
    if claim.seconds_left() < kind.longest_attempt_seconds + RECORDING_MARGIN_SECONDS:
        return AttemptResult(AttemptOutcome.STARTED)
    assert sender is not None, "without one it is refused"
    try:
        receipt = await _send(claim, sender, settings)
    except SendError as error:
        return _failed(error, _elapsed_ms(began))
    except Undecryptable as error:
        reason = str(error)
        return AttemptResult(AttemptOutcome.FAILED, _elapsed_ms(began), error=reason, counts_for_breaker=False)
    except Exception as error:  # one broken sender must not stop the others of its batch
        log.exception("a sender failed unexpectedly", action_type=claim.action.action_type)
        reason = f"the sender failed: {type(error).__name__}"
        return AttemptResult(AttemptOutcome.RETRY, _elapsed_ms(began), error=reason)
    return AttemptResult(AttemptOutcome.SUCCEEDED, _elapsed_ms(began), receipt.status_code, receipt.response)


def _elapsed_ms(began: float) -> int:
    """Return the milliseconds since a monotonic time."""
    return int((time.monotonic() - began) * 1000)


def _refusal(claim: Claim, sender: Sender | None) -> str | None:
    """Return why a claimed delivery is not sent at all."""
    if claim.crash_looping:
        return f"given up: the worker died in {claims.MAX_UNKNOWN_OUTCOMES} attempts in a row"
    if not claim.action.enabled and claim.delivery.type != NotificationType.TEST:
        return claims.DISABLED
    if sender is None:
        return "this version of GiftPulse does not know this type of action: save the action again"
    return cancellation.OTHER_KIND if claim.delivery.action_type != claim.action.action_type else None


def _failed(error: SendError, duration_ms: int) -> AttemptResult:
    return AttemptResult(
        AttemptOutcome.FAILED if error.permanent else AttemptOutcome.RETRY,
        duration_ms,
        error.status_code,
        error.response or None,
        str(error),
        error.retry_after_seconds,
        error.disables_action,
        counts_for_breaker=not isinstance(error, NotContacted),
    )


async def _send(claim: Claim, sender: Sender, settings: Settings) -> Receipt:
    config = config_of(claim.action, settings)
    delivery = claim.delivery
    envelope = Envelope(
        delivery_id=str(delivery.id),
        alert_id=str(delivery.alert_id) if delivery.alert_id else None,
        type=NotificationType(delivery.type),
        recipient=delivery.recipient,
        content=delivery.content,
        created_at=delivery.created_at,
    )
    return await sender.send(config, envelope)
