"""`stuck`: logs that should be final by now and are not. Pure."""

from app.services.rules.types import StuckParams, Verdict


def judge(params: StuckParams, stuck: int) -> Verdict:
    """Judge one group at one minute; `value` is the number of logs that are stuck."""
    return Verdict(stuck >= params.min_count, float(stuck))
