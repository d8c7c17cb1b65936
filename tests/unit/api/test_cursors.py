"""Cursors: read back as they were written, by the list that wrote them and by nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import cursors

POSITIONS = st.lists(
    st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3
)


@given(POSITIONS)
def test_a_cursor_is_read_back_as_it_was_written(position: list[str | int]) -> None:
    assert cursors.decode("secret", "logs{}", cursors.encode("secret", "logs{}", position)) == position


@given(POSITIONS)
def test_a_cursor_is_bound_to_its_list_its_filters_and_the_server(position: list[str | int]) -> None:
    cursor = cursors.encode("secret", "logs{}", position)
    for secret, context in (("other", "logs{}"), ("secret", "alerts{}"), ("secret", 'logs{"status":["sent"]}')):
        with pytest.raises(cursors.InvalidCursor):
            cursors.decode(secret, context, cursor)


@given(st.text(max_size=60))
def test_no_text_but_our_own_is_a_cursor(text: str) -> None:
    with pytest.raises(cursors.InvalidCursor):
        cursors.decode("secret", "logs{}", text)


def test_a_cursor_with_one_letter_changed_is_none() -> None:
    cursor = cursors.encode("secret", "logs{}", ["2026-11-23T06:09:00+00:00", 12])
    for position in range(len(cursor)):
        forged = cursor[:position] + ("A" if cursor[position] != "A" else "B") + cursor[position + 1 :]
        if position == len(cursor) - 1:
            continue  # its last bits may mean nothing
        with pytest.raises(cursors.InvalidCursor):
            cursors.decode("secret", "logs{}", forged)
