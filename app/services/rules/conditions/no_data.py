"""`no_data`: fewer matches in a window than there should be. Pure."""

from app.services.rules.types import NoDataParams, Verdict


def judge(params: NoDataParams, matched: int) -> Verdict:
    """Judge one group at one minute; `value` is the number of matches."""
    return Verdict(matched < params.min_count, float(matched))
