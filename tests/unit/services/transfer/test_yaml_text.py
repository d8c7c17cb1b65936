"""YAML as JSON's values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.services.transfer import yaml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"], exclude_characters="\u2028\u2029\ufeff"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXTS,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(TEXTS, parts, max_size=4),
    max_leaves=15,
)


@given(VALUES)
def test_what_is_written_is_read_back(value: object) -> None:
    assert yaml_text.load(yaml_text.dump(value)) == value


@pytest.mark.parametrize(
    "plain", ["NO", "yes", "on", "+14155550100", "2026-11-23", "12:30:00", "0x1F", "1_000", "08", ".inf", "=", "<<"]
)
def test_texts_that_yaml_1_1_would_convert_stay_texts(plain: str) -> None:
    assert yaml_text.load(f"a: [{plain}]") == {"a": [plain]}
    assert yaml_text.load(yaml_text.dump({"a": plain})) == {"a": plain}


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: 1\na: 2",
        "a: &x [1]\nb: *x",
        "[" * 100_000,
        "{a: " * 1_000,
        "? [1]\n: 2",
        "!!python/object/apply:os.system [ls]",
        "a: !!binary x",
        "%",
        "- a\nb",
        "a: \x01",
        "1: 2\n: 3",
    ],
)
def test_what_is_no_plain_document_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        yaml_text.load(text)
    assert [error.field for error in caught.value.errors] == ["body"]


def test_an_empty_document_is_nothing() -> None:
    assert yaml_text.load("") is None
