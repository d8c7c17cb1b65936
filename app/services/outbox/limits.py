"""How much an action's receiver is asked to take at once, and when an action is given up. Pure."""

import math
from datetime import datetime, timedelta

MAX_CONCURRENT = 2
"""Deliveries of one action under way at the same time."""
PER_SECOND = 10.0
BURST = 20
BREAKER_THRESHOLD = 5
"""After so many failures in a row the receiver is taken to be down: one delivery goes ahead, and what was not tried yet
waits for it, though not beyond the time at which its first retry would be due. Retries keep to the schedule."""
MIN_PROBE_DELAY = timedelta(seconds=30)
MAX_PROBE_DELAY = timedelta(minutes=5)
DISABLE_AFTER = timedelta(days=5)
DISABLE_MIN_DELIVERIES = 10


def available_burst(free_at: datetime | None, now: datetime) -> int:
    """Say how many deliveries the rate allows now."""
    used = max((free_at - now).total_seconds(), 0.0) * PER_SECOND if free_at else 0.0
    return max(math.floor(BURST - used), 0)


def advance_rate(free_at: datetime | None, now: datetime, count: int) -> datetime:
    """Move the clock of the rate on by so many deliveries."""
    return max(free_at or now, now) + timedelta(seconds=count / PER_SECOND)


def probe_at(failures_in_a_row: int, now: datetime) -> datetime | None:
    """Say when the next delivery may go ahead of the others; None: the receiver is not taken to be down."""
    if failures_in_a_row < BREAKER_THRESHOLD:
        return None
    doubled = MIN_PROBE_DELAY * (1 << min(failures_in_a_row - BREAKER_THRESHOLD, 10))
    return now + min(doubled, MAX_PROBE_DELAY)


def should_disable(failing_since: datetime | None, now: datetime) -> bool:
    """Say whether an action failed for so long that it is disabled, if `DISABLE_MIN_DELIVERIES` were tried since."""
    return failing_since is not None and now - failing_since >= DISABLE_AFTER
