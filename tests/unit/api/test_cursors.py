"""Cursors: read back as they were written, by the list that wrote them and by nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import cursors

PLACES = st.lists(
    st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3
)


@given(PLACES)
def test_a_cursor_is_read_back_as_it_was_written(place: list[str | int]) -> None:
    assert cursors.read("secret", "logs{}", cursors.write("secret", "logs{}", place)) == place


@given(PLACES)
def test_a_cursor_is_bound_to_its_list_its_filters_and_the_server(place: list[str | int]) -> None:
    cursor = cursors.write("secret", "logs{}", place)
    for secret, context in (("other", "logs{}"), ("secret", "alerts{}"), ("secret", 'logs{"status":["sent"]}')):
        with pytest.raises(cursors.BadCursor):
            cursors.read(secret, context, cursor)


@given(st.text(max_size=60))
def test_no_text_but_our_own_is_a_cursor(text: str) -> None:
    with pytest.raises(cursors.BadCursor):
        cursors.read("secret", "logs{}", text)


def test_a_cursor_with_one_letter_changed_is_none() -> None:
    cursor = cursors.write("secret", "logs{}", ["2026-11-23T06:09:00+00:00", 12])
    for place in range(len(cursor)):
        forged = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        if place == len(cursor) - 1:
            continue  # its last bits may mean nothing
        with pytest.raises(cursors.BadCursor):
            cursors.read("secret", "logs{}", forged)
