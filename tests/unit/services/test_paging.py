"""Positions and pages, without a database."""

from datetime import UTC
from types import SimpleNamespace

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.models import Alert
from app.services import paging
from app.services.paging import Position

SORT_KEY = (Alert.started_at, Alert.id)
positions = st.builds(Position, st.tuples(st.datetimes(timezones=st.just(UTC)), st.uuids()), st.booleans())


@given(positions)
def test_a_position_survives_json(position: Position) -> None:
    assert paging.from_json(SORT_KEY, orjson.loads(orjson.dumps(paging.to_json(position)))) == position


def rows(*values: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(started_at=value, id=-value) for value in values]


def test_the_only_page_has_no_neighbours() -> None:
    page = paging.split_page(rows(3, 2), SORT_KEY, None, 2)
    assert (page.older, page.newer) == (None, None)


def test_the_first_page_leads_to_older_rows_alone() -> None:
    page = paging.split_page(rows(3, 2, 1), SORT_KEY, None, 2)
    assert [row.started_at for row in page.items] == [3, 2]
    assert (page.older, page.newer) == (Position((2, -2)), None)


def test_the_last_page_leads_to_newer_rows_alone() -> None:
    page = paging.split_page(rows(1), SORT_KEY, Position((2, -2)), 2)
    assert (page.older, page.newer) == (None, Position((1, -1), backward=True))


def test_a_page_read_backward_is_shown_newest_first() -> None:
    page = paging.split_page(rows(2, 3, 4), SORT_KEY, Position((1, -1), backward=True), 2)
    assert [row.started_at for row in page.items] == [3, 2]
    assert (page.older, page.newer) == (Position((2, -2)), Position((3, -3), backward=True))


def test_a_page_read_backward_to_the_first_row_has_nothing_newer() -> None:
    page = paging.split_page(rows(2, 3), SORT_KEY, Position((1, -1), backward=True), 2)
    assert page.newer is None
