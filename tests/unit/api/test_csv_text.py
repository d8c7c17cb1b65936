"""CSV: read back as it was written, and nothing in it is a formula."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.csv_text import FORMULA_STARTS, cell, lines


@pytest.mark.parametrize("text", ["=cmd()", "+14155550100", "-0.0075", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_that_could_be_a_formula_begins_with_an_apostrophe(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(("value", "written"), [(None, ""), (True, "true"), (False, "false"), (3, "3"), ("a", "a")])
def test_values_are_written_plainly(value: object, written: str) -> None:
    assert cell(value) == written


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=2), max_size=4
    )
)
def test_what_is_written_is_read_back_and_never_begins_a_formula(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(lines(rows), newline="")))
    assert read == [[cell(value) for value in row] for row in rows]
    assert not any(value.startswith(FORMULA_STARTS) for row in read for value in row)
