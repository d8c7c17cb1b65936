"""Claims due deliveries, so that no two workers send one. The attempt is recorded before anything is sent.

Claims for one action are serialized by a lock on its row, so its limits hold for any number of workers.
"""

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import case, func, select, text, update
from sqlalchemy.orm import Session, aliased

from app.actions.registry import kind_for
from app.bulk import Unnest, copy_rows, update_rows
from app.enums import ActionType, AttemptOutcome
from app.models import Action, Attempt, Delivery
from app.services.outbox import limits
from app.services.outbox.cancellation import close_unknown, fail_pending
from app.services.outbox.rows import BLOCKED_BY_EARLIER

LEASE_MARGIN = timedelta(seconds=45)
"""A lease is this much longer than the longest attempt of its kind: for the start, and for recording the outcome. A
worker that is silent for longer has died or was suspended; until then its deliveries block their action."""
MAX_UNKNOWN_OUTCOMES = 5
"""After this many attempts that ended with a dead worker, a delivery fails: it may be what kills the workers."""
DISABLED = "the action is disabled; enable it and retry the delivery"
_LOCKED = Unnest("a", id="uuid", probe_at="timestamptz", room="int")

# SQL conditions on an action `a` and its delivery `d`, for both statements that look for work. The first must not take
# actions whose deliveries the second skips, or receivers that are down would block the others.
IN_FLIGHT_COUNT = (
    "CROSS JOIN LATERAL (SELECT count(*) AS number FROM deliveries b"
    " WHERE b.action_id = a.id AND b.lease_until >= :now) busy"
)
IS_DUE = (
    "d.action_id = a.id AND d.status = 'pending' AND d.next_attempt_at <= :now AND d.bundle_until IS NULL"
    " AND (d.lease_until IS NULL OR d.lease_until < :now)"
)
# A receiver that is down gets no first attempts until their first retry would be due. Retries are never held back.
IS_SENDABLE = (
    f"(NOT {BLOCKED_BY_EARLIER}"
    " AND (a.probe_at IS NULL OR (a.probe_at <= :now AND busy.number = 0) OR d.attempt_count > d.retries_from"
    "  OR d.next_attempt_at + :first_retry_seconds * interval '1 second' <= :now))"
)


@dataclass(frozen=True)
class Claim:
    """One delivery, claimed until the lease ends."""

    delivery: Delivery
    action: Action
    token: UUID
    crash_looping: bool = False
    """Too many of its attempts ended with a dead worker."""
    claimed_at: float = field(default_factory=time.monotonic)
    """By this process's monotonic clock, in seconds."""

    def seconds_left(self) -> float:
        """Return how long the lease still lasts."""
        return lease_of(self.delivery.action_type).total_seconds() - (time.monotonic() - self.claimed_at)


def lease_of(action_type: str) -> timedelta:
    """Return how long deliveries of a kind are leased. An unknown kind is never sent and fails at once."""
    known = action_type in set(ActionType)
    max_seconds = kind_for(ActionType(action_type)).longest_attempt_seconds if known else 0.0
    return timedelta(seconds=max_seconds) + LEASE_MARGIN


def claim_due(session: Session, now: datetime, limit: int, schedule: Sequence[int]) -> list[Claim]:
    """Claim up to `limit` due deliveries in the order in which they became due, and record an attempt for each.

    A delivery waits until the earlier ones of its alert to the same receiver have ended, or the digest that contains
    them has. Pending deliveries of a disabled action fail.

    Args:    schedule: seconds before each retry, from the settings.
    """
    first_retry_seconds = schedule[0] if schedule else 0
    ready = _lock_ready(session, now, limit, first_retry_seconds)
    for each in ready:
        if not each.enabled:
            fail_pending(session, each.id, DISABLED, now)
    usable = [each for each in ready if each.enabled]
    return _lease(session, _select(session, usable, now, limit, first_retry_seconds), now) if usable else []


def claim_ids(session: Session, ids: Collection[UUID], now: datetime) -> list[Claim]:
    """Claim deliveries that this transaction created, regardless of the limits of their action."""
    return _lease(session, list(ids), now)


class _ReadyAction(NamedTuple):
    """An action whose row is locked."""

    id: UUID
    enabled: bool
    probe_at: datetime | None
    free_at: datetime | None


def _lock_ready(session: Session, now: datetime, limit: int, first_retry_seconds: int) -> list[_ReadyAction]:
    """Lock the actions with something to claim; skip those that another worker has locked."""
    ready = text(
        f"SELECT a.id, a.enabled, a.probe_at, a.free_at FROM actions a {IN_FLIGHT_COUNT} CROSS JOIN LATERAL ("
        " SELECT d.next_attempt_at AS at FROM deliveries d"
        f" WHERE {IS_DUE} AND (NOT a.enabled OR {IS_SENDABLE}) ORDER BY d.next_attempt_at LIMIT 1) first"
        " WHERE NOT a.enabled OR ((a.free_at IS NULL OR a.free_at < :full) AND busy.number < :at_once)"
        " ORDER BY first.at LIMIT :limit FOR NO KEY UPDATE OF a SKIP LOCKED"
    )
    full = now + timedelta(seconds=(limits.BURST - 1) / limits.PER_SECOND)
    values = {
        "now": now,
        "first_retry_seconds": first_retry_seconds,
        "full": full,
        "at_once": limits.MAX_CONCURRENT,
        "limit": limit * 2 + 10,
    }
    return [_ReadyAction(*row) for row in session.execute(ready, values)]


def _select(
    session: Session, actions: Sequence[_ReadyAction], now: datetime, limit: int, first_retry_seconds: int
) -> list[UUID]:
    """Choose the deliveries to claim, within the limits of the locked actions."""
    query = text(
        f"SELECT d.id FROM {_LOCKED} {IN_FLIGHT_COUNT}"
        " CROSS JOIN LATERAL (SELECT d.id, d.next_attempt_at, d.number FROM deliveries d"
        f"  WHERE {IS_DUE} AND {IS_SENDABLE} ORDER BY d.next_attempt_at, d.number"
        "  LIMIT greatest(least(a.room, :at_once - busy.number,"
        "   CASE WHEN a.probe_at <= :now AND busy.number = 0 THEN 1 ELSE :at_once END), 0)) d"
        " ORDER BY d.next_attempt_at, d.number LIMIT :limit"
    )
    values = {
        **_LOCKED.values(
            (action.id, action.probe_at, limits.available_burst(action.free_at, now)) for action in actions
        ),
        "now": now,
        "first_retry_seconds": first_retry_seconds,
        "at_once": limits.MAX_CONCURRENT,
        "limit": limit,
    }
    return list(session.scalars(query, values).all())


def _lease(session: Session, ids: Sequence[UUID], now: datetime) -> list[Claim]:
    """Lease deliveries and record the start of an attempt for each."""
    if not ids:
        return []
    close_unknown(session, ids)
    token = uuid4()
    deliveries = session.scalars(
        update(Delivery)
        .where(Delivery.id.in_(ids))
        .values(
            lease_token=token,
            lease_until=case(
                {kind.value: now + lease_of(kind) for kind in ActionType},
                value=Delivery.action_type,
                else_=now + LEASE_MARGIN,
            ),
            attempt_count=Delivery.attempt_count + 1,
        )
        .returning(Delivery),
        execution_options={"populate_existing": True},
    ).all()
    begun = [(each.id, token, now, AttemptOutcome.STARTED.value) for each in deliveries]
    copy_rows(session, "attempts", ("delivery_id", "token", "at", "outcome"), begun)
    counts = Counter(each.action_id for each in deliveries)
    query = select(Action).where(Action.id.in_(counts)).execution_options(populate_existing=True)
    actions = {action.id: action for action in session.scalars(query)}
    rate_rows = [(each.id, limits.advance_rate(each.free_at, now, counts[each.id])) for each in actions.values()]
    update_rows(session, "actions", {"id": "uuid"}, {"free_at": "timestamptz"}, rate_rows)
    looping = _crash_looping(session, deliveries)
    return [
        Claim(each, actions[each.action_id], token, each.id in looping)
        for each in sorted(deliveries, key=lambda each: each.number)
    ]


def _crash_looping(session: Session, deliveries: Collection[Delivery]) -> set[UUID]:
    """Find the deliveries whose attempts since the last one with a known outcome all ended with a dead worker."""
    ids = [each.id for each in deliveries if each.attempt_count > MAX_UNKNOWN_OUTCOMES]
    if not ids:
        return set()
    known = aliased(Attempt)
    cut_short = [AttemptOutcome.UNKNOWN, AttemptOutcome.STARTED]
    last = select(func.coalesce(func.max(known.id), 0)).where(
        known.delivery_id == Attempt.delivery_id, known.outcome.not_in(cut_short)
    )
    unknown = select(Attempt.delivery_id).where(
        Attempt.delivery_id.in_(ids), Attempt.outcome == AttemptOutcome.UNKNOWN, Attempt.id > last.scalar_subquery()
    )
    too_many = func.count() >= MAX_UNKNOWN_OUTCOMES
    return set(session.scalars(unknown.group_by(Attempt.delivery_id).having(too_many)))
