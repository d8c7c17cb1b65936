"""What gets through the gate can be stored, shown and logged; the rest is refused, and never repeated."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import json_guard
from app.errors import InvalidInput

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(
        st.characters(
            exclude_categories=["Cs"], exclude_characters="\x00\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        )
    ),
    lambda parts: (
        st.lists(parts, max_size=5)
        | st.dictionaries(
            st.text(st.characters(codec="ascii", exclude_characters="\x00"), max_size=5), parts, max_size=5
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_json_values_pass_unchanged(value: object) -> None:
    assert json_guard.parse_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_bring_anything_but_a_value_or_a_refusal(body: bytes) -> None:
    with suppress(json_guard.Malformed, InvalidInput):
        json_guard.parse_json(body)


@pytest.mark.parametrize("body", [b"", b"{", b"[1,]", b"{'a': 1}", b"\xff", b'"\xc3\x28"', b'{"a": 1, "a": 2}', b"nul"])
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(json_guard.Malformed):
        json_guard.parse_json(body)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, str(2**63), str(-(2**63) - 1)]
)
def test_a_number_that_no_field_can_hold_is_refused(number: str) -> None:
    with pytest.raises(InvalidInput, match="number"):
        json_guard.parse_json(f'{{"a": {number}}}'.encode())


def test_a_number_that_no_field_can_hold_is_refused_at_its_field() -> None:
    with pytest.raises(InvalidInput) as caught:
        json_guard.parse_json(b'{"name": "a", "condition": {"type": "threshold", "count": 1e999, "window_minutes": 5}}')
    assert [error.field for error in caught.value.errors] == ["condition.count"]
    with pytest.raises(InvalidInput) as caught:
        json_guard.parse_json(b"NaN")
    assert [error.field for error in caught.value.errors] == ["body"]


@pytest.mark.parametrize("character", ["\\u0000", "\\ud800", "\\udfff", "\\u202e", "\\u2066"])
def test_a_text_that_cannot_be_stored_or_shown_is_refused_at_its_field(character: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        json_guard.parse_json(f'{{"config": {{"subject": ["x", "a{character}b"]}}}}'.encode())
    assert [error.field for error in caught.value.errors] == ["config.subject.1"]


def test_a_name_of_a_field_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(InvalidInput, match="name"):
        json_guard.parse_json(b'{"a": {"b\\u0000": 1}}')


@pytest.mark.parametrize("depth", [json_guard.MAX_DEPTH + 1, 900, 100_000])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")])
def test_too_much_nesting_is_refused(depth: int, pair: tuple[str, str]) -> None:
    with pytest.raises(InvalidInput, match="nested"):
        json_guard.parse_json((pair[0] * depth + "1" + pair[1] * depth).encode())


def test_nesting_up_to_the_limit_comes_through() -> None:
    json_guard.parse_json(b"[" * json_guard.MAX_DEPTH + b"]" * json_guard.MAX_DEPTH)
