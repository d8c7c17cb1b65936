"""The limits of the ladder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FieldError, InvalidInput
from app.services.preview.ladder import RUNGS, Rung, climb, limits_around, with_limit
from app.services.rules.conditions.threshold import Threshold
from app.services.rules.rule import Rule
from tests.factories import make_rule

THRESHOLD = {"type": "threshold", "count": 10, "window_minutes": 5}


@pytest.mark.parametrize(
    ("name", "limit", "around"),
    [
        ("count", 10, [3, 5, 10, 20, 40]),
        ("count", 137, [41, 68, 137, 270, 550]),
        ("count", 1, [1, 2, 4, 8, 16]),
        ("percent", 5.0, [1.5, 2.5, 5, 10, 20]),
        ("percent", 50.0, [10, 15, 25, 50, 100]),
        ("percent", 100.0, [10, 20, 30, 50, 100]),
        ("factor", 3.0, [1.5, 3, 6, 12, 24]),
        ("at_least", 0.02, [0.006, 0.01, 0.02, 0.04, 0.08]),
    ],
)
def test_five_limits_lie_around_the_own_one(name: str, limit: float, around: list[float]) -> None:
    assert limits_around(name, limit) == around


@given(
    st.tuples(st.just("count"), st.integers(1, 10**9))
    | st.tuples(st.just("percent"), st.floats(1e-6, 100))
    | st.tuples(st.just("factor"), st.floats(1, 1e6))
)
def test_every_limit_has_a_ladder_of_five(drawn: tuple[str, float]) -> None:
    found = limits_around(*drawn)
    assert drawn[1] in found
    assert len(set(found)) == RUNGS


def test_a_limit_to_resolve_at_is_no_higher_than_the_limit() -> None:
    rule = make_rule(condition=THRESHOLD | {"resolve_count": 4})
    lower, higher = with_limit(rule, "count", 3), with_limit(rule, "count", 20)
    assert lower.condition.model_dump() == THRESHOLD | {"count": 3, "resolve_count": 3}
    assert higher.condition.model_dump() == THRESHOLD | {"count": 20, "resolve_count": 4}


def test_the_own_limit_is_not_counted_again() -> None:
    asked = []

    def count_alerts(rule: Rule) -> int:
        assert isinstance(rule.condition, Threshold)
        asked.append(rule.condition.count)
        return 7

    found = climb(make_rule(condition=THRESHOLD), 4, count_alerts)
    assert found is not None
    assert found.field == "condition.count"
    assert found.rungs == [Rung(3, 7), Rung(5, 7), Rung(10, 4), Rung(20, 7), Rung(40, 7)]
    assert asked == [3, 5, 20, 40]


def test_conditions_without_a_limit_and_slow_ones_have_no_ladder() -> None:
    def too_long(_: Rule) -> int:
        raise InvalidInput([FieldError("since", "is too far back")])

    assert climb(make_rule(), 4, too_long) is None
    assert climb(make_rule(condition=THRESHOLD), 4, too_long) is None
