"""Bodies of rules: what is filled in, and what is refused at which field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import models
from app.errors import InvalidInput
from app.services.rules import definition
from app.services.rules.conditions.registry import CONDITIONS, read_condition

SHORTEST: dict[str, Any] = {"name": "Failed", "log_type": "message", "pattern_type": "any"}
SCHEDULE = {"timezone": "Europe/Berlin", "days": ["mon"], "start": "09:00", "end": "18:00"}


def errors_of(**fields: Any) -> dict[str, str]:
    """The fields at which a body is refused, and what is said."""
    with pytest.raises(InvalidInput) as raised:
        definition.parse_rule(SHORTEST | fields)
    return {error.field: error.message for error in raised.value.errors}


def condition(kind: str, **fields: Any) -> dict[str, Any]:
    """What a condition becomes."""
    parsed = definition.parse_rule(SHORTEST | {"condition": {"type": kind} | fields})
    found: dict[str, Any] = definition.columns(parsed)["condition"]
    return found


def test_the_shortest_rule_has_all_defaults() -> None:
    assert definition.columns(definition.parse_rule(SHORTEST)) == {
        "name": "Failed",
        "description": "",
        "enabled": True,
        "severity": "warning",
        "log_type": "message",
        "filters": {},
        "pattern_type": "any",
        "pattern_value": None,
        "condition": {"type": "each"},
        "group_by": [],
        "renotify_minutes": 60,
        "resolve_after_minutes": 60,
        "cooldown_minutes": 10,
        "schedule": None,
        "depends_on": [],
    }


def test_conditions_have_their_defaults_and_every_one_has_parameters() -> None:
    made = [
        condition("each"),
        condition("threshold", count=10, window_minutes=5),
        condition("ratio", percent=5, window_minutes=60),
        condition("no_data", window_minutes=30),
        condition("spike", window_minutes=15),
        condition("new_value", field="error_code"),
        condition("stuck", older_than_minutes=30),
        condition("sum", field="price", at_least=50, window_minutes=60),
    ]
    assert made[2:7] == [
        {"type": "ratio", "percent": 5, "window_minutes": 60, "min_total": 50, "settle_minutes": 10},
        {"type": "no_data", "window_minutes": 30, "min_count": 1},
        {"type": "spike", "factor": 3, "window_minutes": 15, "baseline_windows": 8, "min_count": 20},
        {"type": "new_value", "field": "error_code", "lookback_days": 30},
        {"type": "stuck", "older_than_minutes": 30, "min_count": 1},
    ]
    assert [one["type"] for one in made] == list(CONDITIONS)
    for one in made:
        assert read_condition(one).model_dump(exclude_none=True) == one


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \t"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": 5}, "name"),
        ({"nme": "x"}, "nme"),
        ({"id": "x"}, "id"),
        ({"description": None}, "description"),
        ({"description": "x" * 10_001}, "description"),
        ({"enabled": 1}, "enabled"),
        ({"severity": "fatal"}, "severity"),
        ({"log_type": "sms"}, "log_type"),
        ({"filters": {"to_country": "GB"}}, "filters.to_country"),
        ({"filters": {"to_country": ["GB", "gb"]}}, "filters.to_country"),
        ({"filters": {"from_": []}}, "filters.from_"),
        ({"filters": {"to": [""]}}, "filters.to"),
        ({"filters": {"to": ["\0"]}}, "filters.to"),
        ({"filters": {"level": ["fatal"]}}, "filters.level"),
        ({"filters": {"status": ["failed"]}}, "filters.status"),
        ({"filters": []}, "filters"),
        ({"pattern_type": "glob"}, "pattern_type"),
        ({"pattern_type": ["any"]}, "pattern_type"),
        ({"group_by": ["text"]}, "group_by"),
        ({"group_by": ["to", "to"]}, "group_by"),
        ({"group_by": "to"}, "group_by"),
        ({"renotify_minutes": 0}, "renotify_minutes"),
        ({"renotify_minutes": "60"}, "renotify_minutes"),
        ({"resolve_after_minutes": -1}, "resolve_after_minutes"),
        ({"resolve_after_minutes": None}, "resolve_after_minutes"),
        ({"cooldown_minutes": 1.5}, "cooldown_minutes"),
        ({"condition": None}, "condition"),
        ({"condition": {}}, "condition.type"),
        ({"condition": {"type": "often"}}, "condition.type"),
        ({"condition": {"type": "each", "count": 1}}, "condition.count"),
        ({"condition": {"type": "threshold", "window_minutes": 5}}, "condition.count"),
        ({"condition": {"type": "threshold", "count": True, "window_minutes": 5}}, "condition.count"),
        ({"condition": {"type": "threshold", "count": 0, "window_minutes": 5}}, "condition.count"),
        ({"condition": {"type": "threshold", "count": 1, "window_minutes": 0}}, "condition.window_minutes"),
        ({"condition": {"type": "threshold", "count": 1, "window_minutes": 44_641}}, "condition.window_minutes"),
        (
            {"condition": {"type": "threshold", "count": 3, "window_minutes": 5, "resolve_count": 4}},
            "condition.resolve_count",
        ),
        (
            {"condition": {"type": "ratio", "percent": 5, "window_minutes": 5, "resolve_percent": 5.1}},
            "condition.resolve_percent",
        ),
        ({"condition": {"type": "ratio", "percent": 0, "window_minutes": 5}}, "condition.percent"),
        ({"condition": {"type": "ratio", "percent": 100.1, "window_minutes": 5}}, "condition.percent"),
        ({"condition": {"type": "ratio", "percent": float("nan"), "window_minutes": 5}}, "condition.percent"),
        ({"condition": {"type": "ratio", "percent": True, "window_minutes": 5}}, "condition.percent"),
        ({"condition": {"type": "spike", "factor": 0, "window_minutes": 5}}, "condition.factor"),
        ({"condition": {"type": "new_value", "field": "text"}}, "condition.field"),
        ({"condition": {"type": "sum", "field": "to", "at_least": 1, "window_minutes": 5}}, "condition.field"),
        ({"condition": {"type": "sum", "field": "price", "at_least": 0, "window_minutes": 5}}, "condition.at_least"),
        ({"schedule": SCHEDULE | {"timezone": "Mars/Olympus"}}, "schedule.timezone"),
        ({"schedule": SCHEDULE | {"timezone": "../../etc/passwd"}}, "schedule.timezone"),
        ({"schedule": SCHEDULE | {"timezone": "localtime"}}, "schedule.timezone"),
        ({"schedule": SCHEDULE | {"days": []}}, "schedule.days"),
        ({"schedule": SCHEDULE | {"days": ["Monday"]}}, "schedule.days"),
        ({"schedule": SCHEDULE | {"start": "9:00"}}, "schedule.start"),
        ({"schedule": SCHEDULE | {"end": "24:00"}}, "schedule.end"),
        ({"schedule": SCHEDULE | {"end": "18:00\n"}}, "schedule.end"),
        ({"schedule": {"timezone": "UTC"}}, "schedule.start"),
    ],
)
def test_an_invalid_value_is_rejected_at_its_field(fields: dict[str, Any], field: str) -> None:
    assert field in errors_of(**fields)


def test_a_limit_to_resolve_at_is_shown_only_where_it_is_given() -> None:
    assert condition("threshold", count=3, window_minutes=5, resolve_count=2)["resolve_count"] == 2
    assert "resolve_count" not in condition("threshold", count=3, window_minutes=5, resolve_count=None)


@pytest.mark.parametrize("body", [None, [], "rule", 5, True])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(InvalidInput) as raised:
        definition.parse_rule(body)
    assert [error.field for error in raised.value.errors] == ["body"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("error_code", "30001, 30002"),
        ("error_code", "30000-30999"),
        ("error_code", "30000 - 30999,*"),
        ("status", "failed,no-answer, in-progress"),
        ("status", "partially_delivered"),
        ("keyword", "carrier, blocked by carrier"),
        ("regex", "(a+)+$"),
        ("regex", "x" * 10_000),
        ("regex", r"(?i)\bжд\w+\p{L}+"),
        ("expression", 'log.error_code == 30003 && log.to.startsWith("+44")'),
    ],
)
def test_patterns_that_can_be_used_are_kept_as_they_were_written(kind: str, value: str) -> None:
    assert definition.parse_rule(SHORTEST | {"pattern_type": kind, "pattern_value": value}).pattern_value == value


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("error_code", None, "is required with the pattern type error_code"),
        ("error_code", "30001,,30002", "item 2 of the list is empty"),
        ("error_code", "30999-30000", "item 1 of the list: the range ends before it starts"),
        ("error_code", "30001,abc", "item 2 of the list: is neither a code"),
        ("status", "failed,", "item 2 of the list is empty"),
        ("status", "Failed", "item 1 of the list is not a status"),
        ("keyword", " , ", "item 1 of the list is empty"),
        ("regex", "(?<=a)b", "RE2 has no lookbehind, at character 1"),
        ("regex", "ab(?=c)", "RE2 has no lookahead, at character 3"),
        ("regex", "(a", "is not a valid RE2 pattern: missing ), at character 1"),
        ("regex", r"[(]\((a)(b", "missing ), at character 9"),
        ("regex", r"\Q(\E(a))b", "unexpected ), at character 9"),
        ("regex", "*", "at character 1"),
        ("regex", "[a", "missing ], at character 1"),
        ("regex", "ab[z-a]", "at character 4"),
        ("regex", r"(a)\1", "is not a valid RE2 pattern"),
        ("regex", "a.{1000}", "is too large when compiled"),
        ("regex", "x" * 10_001, "must not be longer than 10000"),
        ("regex", "a\0b", "NUL"),
        ("expression", "log.error_code", "must return true or false"),
        ("expression", "log.nothing == 1", "no such field"),
        (
            "expression",
            "log.text.matches('(?<=a)b')",
            "matches(), at line 1, character 18, is not a valid RE2 pattern: RE2 has",
        ),
        (
            "expression",
            r'log.final || log.to.matches( r"\d(")',
            "matches(), at line 1, character 30, is not a valid RE2",
        ),
    ],
)
def test_invalid_patterns_are_refused(kind: str, value: str | None, words: str) -> None:
    assert words in errors_of(pattern_type=kind, pattern_value=value)["pattern_value"]


def test_no_error_echoes_the_value() -> None:
    for kind in ("regex", "expression", "error_code", "status"):
        assert "s3cret" not in str(errors_of(pattern_type=kind, pattern_value="(s3cret"))
    assert "s3cret" not in str(errors_of(name=["s3cret"], log_type="s3cret", filters={"to_country": ["s3cret"]}))


def test_a_patch_replaces_objects_whole() -> None:
    before = definition.parse_rule(
        SHORTEST | {"filters": {"to_country": ["GB"], "from": ["+1"]}, "severity": "critical"}
    )
    after = definition.merge(before, {"filters": {"to": ["+2"]}, "condition": {"type": "no_data", "window_minutes": 5}})
    assert definition.columns(after)["filters"] == {"to": ["+2"]}
    assert after.severity == "critical"
    assert definition.columns(after)["condition"]["min_count"] == 1


def test_a_patch_of_the_pattern_is_checked_as_a_whole() -> None:
    before = definition.parse_rule(SHORTEST | {"pattern_type": "status", "pattern_value": "failed"})
    with pytest.raises(InvalidInput, match="pattern_value"):
        definition.merge(before, {"pattern_type": "error_code"})


@pytest.mark.parametrize(
    "change",
    [
        {"log_type": "call"},
        {"filters": {"to": ["+1"]}},
        {"pattern_type": "status", "pattern_value": "failed"},
        {"condition": {"type": "no_data", "window_minutes": 5}},
        {"group_by": ["to"]},
        {"schedule": SCHEDULE},
    ],
)
def test_these_edits_change_the_meaning(change: dict[str, Any]) -> None:
    before = definition.parse_rule(SHORTEST)
    assert definition.meaning_changed(before, definition.merge(before, change))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Other", "description": "x", "severity": "critical", "enabled": False},
        {"renotify_minutes": None, "resolve_after_minutes": 0, "cooldown_minutes": 0},
        {"filters": {"to": []}},
        {"condition": {"type": "each"}},
        {"schedule": None, "group_by": []},
    ],
)
def test_these_edits_do_not_change_the_meaning(change: dict[str, Any]) -> None:
    before = definition.parse_rule(SHORTEST)
    assert not definition.meaning_changed(before, definition.merge(before, change))


def test_a_stored_rule_reads_back_as_it_was_written() -> None:
    written = definition.parse_rule(
        SHORTEST | {"filters": {"from": ["+1"]}, "schedule": SCHEDULE, "renotify_minutes": None}
    )
    row = models.Rule(**definition.columns(written))
    assert row.filters == {"from": ["+1"]}
    assert definition.from_row(row) == written
    assert not definition.meaning_changed(written, definition.from_row(row))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(list(definition.RuleDefinition.model_fields)), json_values), json_values)
def test_every_body_is_a_rule_or_rejected_with_fields(body: dict[str, Any], whole: Any) -> None:
    for sent in (SHORTEST | body, body, whole):
        assert outcome(sent)


def outcome(sent: Any) -> bool:
    """Say whether a body is either refused at named fields, or reads back as itself."""
    try:
        parsed = definition.parse_rule(sent)
    except InvalidInput as error:
        return bool(error.errors) and all(one.field and one.message for one in error.errors)
    return definition.parse_rule(definition.as_json(parsed)) == parsed
