"""`no_data`: fewer matches than there should be."""

from app.services.rules.conditions.no_data import judge
from app.services.rules.types import NoDataParams, Verdict

PARAMS = NoDataParams(window_minutes=30, min_count=2)


def test_it_holds_below_the_count_and_is_over_at_it() -> None:
    assert judge(PARAMS, 0) == Verdict(True, 0.0)
    assert judge(PARAMS, 1) == Verdict(True, 1.0)
    assert judge(PARAMS, 2) == Verdict(False, 2.0)
