"""When a delivery is tried next. Pure but for the dice, which are an argument."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

JITTER = 0.2
"""Retries spread over up to this share of the schedule's wait more, so that many do not come at once; never earlier."""
MAX_JITTER_SECONDS = 900.0


def next_attempt_at(
    schedule: Sequence[int],
    attempts: int,
    now: datetime,
    retry_after_seconds: float | None,
    rng: Callable[[], float],
) -> datetime | None:
    """Say when to try again after `attempts` tries of this round failed, the last one now.

    Args:
        schedule: seconds before each retry; its length is the number of retries.
        retry_after_seconds: what the receiver asked for, if it did; the longer of the two waits counts, and its own
            is kept to exactly.
        rng: draws from [0, 1).
    Returns: None where the retries are used up.
    """
    if attempts > len(schedule):
        return None
    wait = float(schedule[attempts - 1])
    jitter = min(wait * JITTER, MAX_JITTER_SECONDS) * rng()
    return now + timedelta(seconds=max(wait + jitter, retry_after_seconds or 0.0))
