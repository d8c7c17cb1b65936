"""How fast an action's receiver is sent to, and when an action is disabled. Pure."""

import math
from datetime import datetime, timedelta

MAX_CONCURRENT = 2
"""Deliveries of one action in flight at the same time."""
PER_SECOND = 10.0
BURST = 20
BREAKER_THRESHOLD = 5
"""After this many failures in a row the receiver counts as down: one delivery probes it, and those not tried yet wait
for the probe, but not beyond the time of their first retry. Retries follow the schedule."""
MIN_PROBE_DELAY = timedelta(seconds=30)
MAX_PROBE_DELAY = timedelta(minutes=5)
DISABLE_AFTER = timedelta(days=5)
DISABLE_MIN_DELIVERIES = 10


def available_burst(free_at: datetime | None, now: datetime) -> int:
    """Return how many deliveries the rate allows now."""
    used = max((free_at - now).total_seconds(), 0.0) * PER_SECOND if free_at else 0.0
    return max(math.floor(BURST - used), 0)


def advance_rate(free_at: datetime | None, now: datetime, count: int) -> datetime:
    """Advance the clock of the rate limit by a number of deliveries."""
    return max(free_at or now, now) + timedelta(seconds=count / PER_SECOND)


def probe_at(failures_in_a_row: int, now: datetime) -> datetime | None:
    """Return when the next delivery may probe the receiver; None if the receiver does not count as down."""
    if failures_in_a_row < BREAKER_THRESHOLD:
        return None
    doubled = MIN_PROBE_DELAY * (1 << min(failures_in_a_row - BREAKER_THRESHOLD, 10))
    return now + min(doubled, MAX_PROBE_DELAY)


def has_failed_for_long(failing_since: datetime | None, now: datetime) -> bool:
    """Return whether an action has failed for `DISABLE_AFTER`."""
    return failing_since is not None and now - failing_since >= DISABLE_AFTER
