"""What a key looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services import keys


def _make() -> str:
    body = f"gp_{keys._random(keys.PUBLIC_LENGTH)}_{keys._random(keys.SECRET_LENGTH)}"
    return body + keys._checksum(body)


def test_a_key_of_ours_is_known_by_its_checksum() -> None:
    assert keys.is_well_formed(_make())


@given(st.integers(0, 60), st.sampled_from(keys.ALPHABET))
def test_one_wrong_letter_breaks_the_checksum(index: int, letter: str) -> None:
    key = _make()
    altered = key[:index] + letter + key[index + 1 :]
    assert altered == key or not keys.is_well_formed(altered)


@pytest.mark.parametrize("text", ["", "gp_", "x" * 61, "gp_" + "é" * 58, "gp_\x00"])
def test_other_texts_are_no_ages(text: str) -> None:
    assert not keys.is_well_formed(text)
