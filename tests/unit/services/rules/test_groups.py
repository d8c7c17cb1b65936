"""Groups: what a rule counts apart."""

import json

from hypothesis import given
from hypothesis import strategies as st

from app.enums import OTHER_VALUE
from app.services.rules.groups import group_key, group_of, group_values, other_group
from tests.factories import make_log, make_rule

VALUES = st.dictionaries(
    st.text(st.characters(codec="utf-8")),
    st.none() | st.integers(-(2**31), 2**31) | st.text(st.characters(codec="utf-8")),
)


def test_a_group_has_the_fields_in_the_order_of_the_rule_and_keeps_their_types() -> None:
    rule = make_rule(group_by=("to_country", "error_code", "from"))
    group = group_of(rule, make_log(error_code=30003, from_=None))
    assert list(group.items()) == [("to_country", "GB"), ("error_code", 30003), ("from", None)]


def test_a_rule_without_group_by_has_one_group() -> None:
    assert group_of(make_rule(), make_log()) == {}
    assert group_key({}) == "{}"


def test_the_other_group_stands_for_every_field() -> None:
    assert other_group(make_rule(group_by=("to", "from"))) == {"to": OTHER_VALUE, "from": OTHER_VALUE}


def test_a_number_and_its_text_are_two_groups() -> None:
    assert group_key({"error_code": 30003}) != group_key({"error_code": "30003"})


def test_a_missing_value_and_the_word_null_are_two_groups() -> None:
    assert group_key({"to": None}) != group_key({"to": "null"})


@given(VALUES)
def test_a_key_is_json_that_gives_the_group_back_whatever_the_order(values: dict[str, object]) -> None:
    key = group_key(values)
    assert json.loads(key) == group_values(key) == values
    assert group_key(dict(reversed(values.items()))) == key
