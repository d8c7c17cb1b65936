"""`stuck`: so many logs that should be final."""

from app.services.rules.conditions.stuck import judge
from app.services.rules.types import StuckParams, Verdict

PARAMS = StuckParams(older_than_minutes=30, min_count=2)


def test_it_holds_from_the_count_on() -> None:
    assert judge(PARAMS, 1) == Verdict(False, 1.0)
    assert judge(PARAMS, 2) == Verdict(True, 2.0)
