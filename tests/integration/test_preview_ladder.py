"""The ladder of a preview is what previews at its limits find."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.services.preview import ladder
from app.services.rules.definition import parse_rule
from tests.fakes import START, minutes
from tests.feeding import evaluate, log
from tests.integration.test_preview import Drawn, PreviewCase, case, drawn, patterns, slow_is_fine, soon
from tests.profiles import examples

__all__ = ["case"]

windows = st.integers(1, 60)
conditions = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("threshold"), "count": st.integers(1, 6), "window_minutes": windows},
        optional={"resolve_count": st.just(1)},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("ratio"),
            "percent": st.sampled_from((5, 20, 50)),
            "window_minutes": windows,
            "min_total": st.integers(1, 3),
        },
        optional={"resolve_percent": st.just(4.5)},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("spike"),
            "factor": st.sampled_from((1, 2, 3)),
            "window_minutes": st.integers(1, 20),
            "baseline_windows": st.just(3),
            "min_count": st.integers(1, 3),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("sum"),
            "field": st.just("price"),
            "at_least": st.sampled_from((0.0075, 0.02)),
            "window_minutes": windows,
        }
    ),
)


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@given(
    logs=st.lists(soon | drawn, max_size=20),
    condition=conditions,
    pattern=patterns,
    group_by=st.lists(st.sampled_from(("to_country", "from")), unique=True, max_size=1),
    quiet=st.integers(0, 30),
)
@settings(slow_is_fine, max_examples=examples(3))
def test_a_ladder_is_what_five_previews_find(
    database: str, logs: list[Drawn], condition: dict[str, Any], pattern: Any, group_by: list[str], quiet: int
) -> None:
    case = PreviewCase(until=minutes(240))
    case.feed.store([each.versions()[-1] for each in logs], case.until)
    case.feed.complete(case.until)
    evaluate(case.until)
    body = case.body(
        condition=condition,
        pattern_type=pattern[0],
        pattern_value=pattern[1],
        group_by=group_by,
        resolve_after_minutes=quiet,
    )
    shown = case.previewed(body | {"ladder": True})
    assert shown.pop("ladder") == {"field": _field(condition), "items": _previewed_one_by_one(case, body)}
    assert shown == case.previewed(body)


def _field(condition: dict[str, Any]) -> str:
    return {
        "threshold": "condition.count",
        "ratio": "condition.percent",
        "spike": "condition.factor",
        "sum": "condition.at_least",
    }[condition["type"]]


def _previewed_one_by_one(case: PreviewCase, body: dict[str, Any]) -> list[dict[str, Any]]:
    name = _field(body["condition"]).removeprefix("condition.")
    found = []
    for value in ladder.limits_around(name, body["condition"][name]):
        condition = body["condition"] | {name: value}
        for lower in ("resolve_count", "resolve_percent"):
            if lower in condition:
                condition[lower] = min(condition[lower], value)
        parse_rule(body | {"condition": condition})
        alerts = case.previewed(body | {"condition": condition})["alerts"]
        found.append({"value": value, "alerts": len(alerts)})
    return found


def test_conditions_without_a_limit_have_no_ladder(case: PreviewCase) -> None:
    for condition in (
        {"type": "each"},
        {"type": "no_data", "window_minutes": 5},
        {"type": "new_value", "field": "to"},
        {"type": "stuck", "older_than_minutes": 5},
    ):
        assert case.previewed(case.body(condition=condition, ladder=True))["ladder"] is None


def test_a_ladder_is_there_only_where_it_is_asked_for(case: PreviewCase) -> None:
    case.feed.store([log(number, minutes(number)) for number in range(20)], START)
    condition = {"type": "threshold", "count": 10, "window_minutes": 60}
    assert "ladder" not in case.previewed(case.body(condition=condition))
    assert case.previewed(case.body(condition=condition, ladder=True))["ladder"] == {
        "field": "condition.count",
        "items": [{"value": value, "alerts": alerts} for value, alerts in ((3, 1), (5, 1), (10, 1), (20, 1), (40, 0))],
    }
    with pytest.raises(InvalidInput, match="ladder: must be true or false"):
        case.previewed(case.body(ladder="yes"))
