"""Long windows are cut into hours and minutes, with no minute left out and none taken twice."""

from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.services.evaluation.window_queries import WindowRange, split_at_hours
from tests.factories import make_rule
from tests.fakes import START

moments = st.integers(0, 5_000).map(lambda minute: START + timedelta(minutes=minute))


@given(since=moments, until=moments, long=st.booleans())
def test_the_pieces_of_a_window_are_the_window(since: datetime, until: datetime, long: bool) -> None:
    since, until = sorted((since, until))
    length = 600 if long else 60
    condition = {"type": "no_data", "window_minutes": length, "min_count": 1}
    window = WindowRange(make_rule(condition=condition), until, timedelta(minutes=length))
    pieces = sorted(split_at_hours(window, since, until), key=lambda piece: piece.since)
    edges = [(piece.since, piece.until) for piece in pieces]
    assert edges[0][0] == since
    assert edges[-1][1] == until
    assert all(before[1] == after[0] for before, after in pairwise(edges))
    for piece in pieces:
        assert not piece.by_hours or (long and piece.since.minute == piece.until.minute == 0)
        assert piece.by_hours or not long or piece.until - piece.since < timedelta(hours=2)
