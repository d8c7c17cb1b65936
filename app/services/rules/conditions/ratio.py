"""`ratio`: the share of the final logs of a window that match. Pure."""

from datetime import datetime, timedelta

from app.enums import ResolveReason
from app.services.rules.types import RatioParams, Verdict


def judge(
    params: RatioParams,
    total: int,
    matched: int,
    insufficient_since: datetime | None,
    at: datetime,
    *,
    goes_on: bool = False,
) -> Verdict:
    """Judge one group at one minute.

    Args:
        total, matched: final logs created in the window that ended `settle_minutes` before `at`.
        insufficient_since: since when the open alert has had too few logs to judge.
        goes_on: the condition held before, and has not been false since: a lower limit applies.
    Returns: `value` is the percentage; too few logs are neither, until that lasted two windows.
    """
    percent = 100 * matched / total if total else None
    if total >= params.min_total and percent is not None:
        return Verdict(percent >= (params.resolves_below if goes_on else params.percent), percent)
    since = insufficient_since or at
    if at - since >= timedelta(minutes=2 * params.window_minutes):
        return Verdict(False, percent, reason=ResolveReason.INSUFFICIENT_DATA)
    return Verdict(None, percent, insufficient_since=since)
