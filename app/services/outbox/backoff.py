"""When a delivery is retried. Pure; randomness is injected."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

JITTER = 0.2
"""Each wait is extended by a random share of it up to this, so that retries spread out. It is never shortened."""
MAX_JITTER_SECONDS = 900.0


def next_attempt_at(
    schedule: Sequence[int],
    attempts: int,
    now: datetime,
    retry_after_seconds: float | None,
    rng: Callable[[], float],
) -> datetime | None:
    """Return when to retry after `attempts` failed attempts of this round, the last one now.

    Args:
        schedule: seconds before each retry; its length is the number of retries.
        retry_after_seconds: the delay that the receiver requested, if any. The longer of the two waits counts; the
            receiver's is used without jitter.
        rng: draws from [0, 1).
    Returns: None if no retries are left.
    """
    if attempts > len(schedule):
        return None
    wait = float(schedule[attempts - 1])
    jitter = min(wait * JITTER, MAX_JITTER_SECONDS) * rng()
    return now + timedelta(seconds=max(wait + jitter, retry_after_seconds or 0.0))
