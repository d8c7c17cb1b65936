"""`no_data`: fewer matches than there should be."""

from app.services.rules.conditions.no_data import NoData
from app.services.rules.conditions.numbers import Numbers, Verdict, WindowCounts
from tests.fakes import START

NO_DATA = NoData(type="no_data", window_minutes=30, min_count=2)


def judge(matched: int) -> Verdict:
    return NO_DATA.judge(Numbers(START, START, lambda _: WindowCounts(matched, matched)))


def test_it_holds_below_the_count_and_is_over_at_it() -> None:
    assert judge(0) == Verdict(True, 0.0)
    assert judge(1) == Verdict(True, 1.0)
    assert judge(2) == Verdict(False, 2.0)
