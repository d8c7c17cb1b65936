"""The index of patterns: it must find exactly what a loop over all rules finds."""

from collections.abc import Sequence
from typing import Any

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from app.enums import PatternType
from app.services.rules.conditions.ratio import Ratio
from app.services.rules.patterns import code_ranges
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.rules.types import LogVersion
from tests.factories import make_log, make_rule
from tests.profiles import examples

WORDS = ("carrier", "Blocked", "naïve", "ÄRGER", "50% off", "a.b", "(x", "\\d", "e\u0301", "日本", "", "İ")
FILTERS = {
    "account_sid": ("AC1", "AC2"),
    "from": ("+1", "+2", "whatsapp:+1"),
    "to": ("+3", "+4"),
    "to_country": ("GB", "US"),
    "direction": ("inbound", "outbound-api"),
    "messaging_service_sid": ("MG1", "MG2"),
    "level": ("error", "warning"),
}
CODES = st.sampled_from((0, 1, 10, 11, 12, 20, 30003, 999_999_999))
STATUSES = ("failed", "undelivered", "delivered", "no-answer")
TEXTS = st.none() | st.lists(
    st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8"), max_size=3), max_size=4
).map(" ".join)


def reference(rules: Sequence[Rule], log: LogVersion) -> list[Rule]:
    """The obvious loop over all rules."""
    return [rule for rule in rules if in_population(rule, log) and fits(rule, log)]


def in_population(rule: Rule, log: LogVersion) -> bool:
    if rule.log_type not in {"any", log.log_type}:
        return False
    values = log._asdict() | {"from": log.from_}
    return all(values[field] in wanted for field, wanted in rule.filters.items())


def fits(rule: Rule, log: LogVersion) -> bool:
    value = rule.pattern_value or ""
    items = [item.strip() for item in value.split(",")]
    texts = [text for text in (log.text, log.error_message) if text is not None]
    match rule.pattern_type:
        case PatternType.ANY:
            return True
        case PatternType.STATUS:
            return log.status in items
        case PatternType.ERROR_CODE:
            return log.error_code is not None and any(holds(item, log.error_code) for item in items)
        case PatternType.KEYWORD:
            return any(re2.search("(?i)" + re2.escape(item), text) for item in items for text in texts)
        case PatternType.REGEX:
            return any(re2.search(value, text) for text in texts)
        case PatternType.EXPRESSION:
            return bool(EXPRESSIONS[value](log))


def holds(item: str, code: int) -> bool:
    if item == "*":
        return True
    first, _, last = item.partition("-")
    return int(first) <= code <= int(last or first)


EXPRESSIONS: dict[str, Any] = {
    "log.error_code == 30003": lambda log: log.error_code == 30003,
    'log.to != null && log.to.startsWith("+3")': lambda log: log.to is not None and log.to.startswith("+3"),
    'log.from in ["+1", "+2"] || log.final': lambda log: log.from_ in {"+1", "+2"} or log.final,
    'log.text.contains("carrier")': lambda log: log.text is not None and "carrier" in log.text,
    "log.error_code > 10": lambda log: log.error_code is not None and log.error_code > 10,
}

code_items = st.one_of(
    CODES.map(str),
    st.tuples(CODES, CODES).map(lambda ends: f"{min(ends)} - {max(ends)}"),
    st.just("*"),
)
patterns = st.one_of(
    st.tuples(st.just("any"), st.none()),
    st.tuples(st.just("error_code"), st.lists(code_items, min_size=1, max_size=3).map(", ".join)),
    st.tuples(st.just("status"), st.lists(st.sampled_from(STATUSES), min_size=1, max_size=3).map(" ,".join)),
    st.tuples(st.just("keyword"), st.lists(st.sampled_from(WORDS[:-2]), min_size=1, max_size=3).map(",".join)),
    st.tuples(
        st.just("regex"),
        st.sampled_from(("carrier$", "^naïve", "(a+)+$", r"\bBlocked\b", "[^a-z ]{2}", "(?i)ärger", ".", r"\p{L}{3}")),
    ),
    st.tuples(st.just("expression"), st.sampled_from(sorted(EXPRESSIONS))),
)
filters = st.fixed_dictionaries(
    {}, optional={field: st.lists(st.sampled_from(values), min_size=1, max_size=2) for field, values in FILTERS.items()}
)
rules = st.builds(
    lambda pattern, **fields: make_rule(pattern_type=pattern[0], pattern_value=pattern[1], **fields),
    pattern=patterns,
    log_type=st.sampled_from(("any", "call", "message", "error")),
    filters=filters,
    condition=st.sampled_from(({"type": "each"}, {"type": "ratio"})),
)
logs = st.builds(
    make_log,
    log_type=st.sampled_from(("call", "message", "error")),
    status=st.none() | st.sampled_from(STATUSES),
    error_code=st.none() | CODES,
    text=TEXTS,
    error_message=TEXTS,
    final=st.booleans(),
    account_sid=st.sampled_from(FILTERS["account_sid"]),
    from_=st.none() | st.sampled_from(FILTERS["from"]),
    **{
        field: st.none() | st.sampled_from(FILTERS[field])
        for field in ("to", "to_country", "direction", "messaging_service_sid", "level")
    },
)


@pytest.mark.hunt
@given(st.lists(rules, max_size=12), st.lists(logs, max_size=12))
@settings(max_examples=examples(100))
def test_the_index_finds_what_a_loop_over_all_rules_finds(some_rules: list[Rule], some_logs: list[LogVersion]) -> None:
    index = RuleIndex(some_rules)
    for _ in range(2):  # The second time out of what it remembers.
        assert [list(found) for found in index.match_batch(some_logs)] == [
            reference(some_rules, log) for log in some_logs
        ]


@given(st.lists(rules, max_size=12), st.lists(logs, max_size=12))
def test_populations_are_those_of_the_ratio_rules_whatever_the_pattern(
    some_rules: list[Rule], some_logs: list[LogVersion]
) -> None:
    found = RuleIndex(some_rules).ratio_rules_of(some_logs)
    for log, holding in zip(some_logs, found, strict=True):
        wanted = [rule for rule in some_rules if isinstance(rule.condition, Ratio) and in_population(rule, log)]
        assert sorted(rule.id for rule in holding) == sorted(rule.id for rule in wanted)


def test_a_keyword_is_found_whatever_the_case_in_text_or_error_message() -> None:
    rule = make_rule(pattern_type="keyword", pattern_value="carrier, blocked")
    index = RuleIndex([rule])
    hits = [make_log(text="a CARRIER said no"), make_log(text=None, error_message="Blocked!")]
    misses = [make_log(text="a car"), make_log(text=None, error_message=None)]
    assert index.match_batch(hits + misses) == [(rule,), (rule,), (), ()]


def test_a_word_is_not_found_across_text_and_error_message() -> None:
    index = RuleIndex([make_rule(pattern_type="keyword", pattern_value="carrier")])
    assert index.match_batch([make_log(text="car", error_message="rier")]) == [()]


def test_a_keyword_is_no_pattern() -> None:
    index = RuleIndex([make_rule(pattern_type="keyword", pattern_value="a.c, (")])
    assert [
        len(found) for found in index.match_batch([make_log(text="abc"), make_log(text="a.c"), make_log(text="(")])
    ] == [0, 1, 1]


def test_an_expression_that_fails_on_a_log_is_no_match_and_is_reported_once() -> None:
    failing = make_rule(pattern_type="expression", pattern_value='log.text.contains("x")')
    other = make_rule()
    index = RuleIndex([failing, other])
    assert index.match_batch([make_log(text=None), make_log(text="secret x")]) == [(other,), (failing, other)]
    failures = index.pop_failures().reasons
    assert list(failures) == [failing.id]
    assert "null" in failures[failing.id]
    assert index.pop_failures().reasons == {}


def test_the_error_of_a_rule_contains_no_data_of_the_log() -> None:
    rule = make_rule(pattern_type="expression", pattern_value='{"a": 1}[log.text] == int(log.to)')
    index = RuleIndex([rule])
    index.match_batch([make_log(text="secret", to="+447700900123")])
    assert "secret" not in index.pop_failures().reasons[rule.id]


@pytest.mark.parametrize(
    ("kind", "value"), [("regex", "("), ("expression", "log.error_code =="), ("error_code", "x"), ("regex", "(?<=a)b")]
)
def test_a_stored_pattern_that_cannot_be_used_any_more_does_not_stop_the_others(kind: str, value: str) -> None:
    broken, sound = make_rule(pattern_type=kind, pattern_value=value), make_rule()
    index = RuleIndex([broken, sound])
    assert index.match_batch([make_log()]) == [(sound,)]
    assert list(index.pop_failures().reasons) == [broken.id]
    assert list(index.pop_failures().reasons) == [broken.id]


def test_a_pattern_with_nested_repetitions_costs_nothing_special() -> None:
    index = RuleIndex([make_rule(pattern_type="regex", pattern_value="(a+)+$")])
    assert index.match_batch([make_log(text="a" * 100_000 + "b"), make_log(text="a" * 100_000)])[1] != ()


def test_a_pattern_that_unfolds_to_many_states_finds_its_match() -> None:
    rule = make_rule(pattern_type="regex", pattern_value="x.{200}y")
    index = RuleIndex([rule])
    assert index.match_batch([make_log(text="ab" * 1000 + "x" + "é" * 200 + "y")]) == [(rule,)]


@pytest.mark.parametrize("value", ["", "a", "1,", "1-", "-1", "1-2-3", "2-1", "1234567890", "٣", "1.5", "* *"])
def test_an_unreadable_list_of_codes_is_refused(value: str) -> None:
    with pytest.raises(ValueError):
        code_ranges(value)


def test_no_rules_match_nothing() -> None:
    assert RuleIndex([]).match_batch([make_log()]) == [()]
    assert RuleIndex([]).ratio_rules_of([make_log()]) == [()]
