"""`spike`: many more matches in a window than in the windows before it. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from app.enums import ResolveReason
from app.services.rules.types import SpikeParams, Verdict

RESOLVE_RATIO = 0.8
"""An alert is over below this share of what made it fire."""
NEW_NORMAL_AFTER = timedelta(hours=24)


def judge(
    params: SpikeParams,
    matched: int,
    earlier: Sequence[int | None],
    frozen_baseline: float | None,
    started_at: datetime | None,
    at: datetime,
) -> Verdict:
    """Judge one group at one minute.

    Args:
        matched: matches in the window that ends at `at`.
        earlier: matches in the windows before it, newest first; None for one that is not known whole.
        frozen, started_at: baseline and start of the open alert, if there is one.
    Returns: `value` is the ratio to the median, which is taken as at least 1.
    """
    baseline = frozen_baseline if frozen_baseline is not None else baseline_of(params, earlier)
    if baseline is None:
        return Verdict(None, None)
    value = matched / baseline
    limit = max(float(params.min_count), params.factor * baseline)
    if started_at is None:
        return Verdict(matched >= limit, value, baseline=baseline)
    if matched < RESOLVE_RATIO * limit:
        return Verdict(False, value, baseline=baseline)
    if at - started_at >= NEW_NORMAL_AFTER:
        return Verdict(False, value, reason=ResolveReason.NEW_NORMAL, baseline=baseline)
    return Verdict(True, value, baseline=baseline)


def baseline_of(params: SpikeParams, earlier: Sequence[int | None]) -> float | None:
    """Return the median of the known windows, at least 1; None where fewer than half of them are known."""
    known = [count for count in earlier if count is not None]
    if len(known) < windows_needed(params):
        return None
    return max(1.0, float(median(known)))


def windows_needed(params: SpikeParams) -> int:
    """Return how many of the windows before must be known: half of them."""
    return -(-params.baseline_windows // 2)
