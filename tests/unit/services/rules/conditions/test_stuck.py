"""`stuck`: so many logs that should be final."""

from app.services.rules.conditions.numbers import Numbers, Verdict
from app.services.rules.conditions.stuck import Stuck
from tests.fakes import START

STUCK = Stuck(type="stuck", older_than_minutes=30, min_count=2)


def test_it_holds_from_the_count_on() -> None:
    assert STUCK.judge(Numbers(START, START, stuck=1)) == Verdict(False, 1.0)
    assert STUCK.judge(Numbers(START, START, stuck=2)) == Verdict(True, 2.0)
