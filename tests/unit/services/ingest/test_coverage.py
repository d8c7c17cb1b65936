"""What is known of a stream, from the marks of its reading."""

from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.enums import Coverage
from app.services.ingest.coverage import StreamMarks, classify
from tests.fakes import START

READ, GAP, NOT_YET = Coverage.READ, Coverage.GAP, Coverage.NOT_YET


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def parts(marks: StreamMarks, since: float = 0, until: float = 10) -> list[tuple[float, float, Coverage]]:
    return [
        ((first - START) / timedelta(days=1), (last - START) / timedelta(days=1), state)
        for (first, last), state in classify(marks, day(since), day(until))
    ]


def test_a_stream_without_a_poll_is_not_read_yet() -> None:
    assert parts(StreamMarks(None, None, None, None)) == [(0, 10, NOT_YET)]


def test_a_stream_is_read_between_its_marks() -> None:
    marks = StreamMarks(day(2), day(2), day(8), None)
    assert parts(marks) == [(0, 2, NOT_YET), (2, 8, READ), (8, 10, NOT_YET)]
    assert parts(marks, 4, 5) == [(4, 5, READ)]
    assert parts(marks, 9, 10) == [(9, 10, NOT_YET)]


def test_a_backlog_is_read_up_to_where_it_is() -> None:
    assert parts(StreamMarks(day(2), day(2), day(5), day(7)))[1] == (2, 7, READ)
    assert parts(StreamMarks(day(2), day(2), None, day(7)))[1] == (2, 7, READ)


def test_the_spans_before_and_after_a_gap_are_read() -> None:
    marks = StreamMarks(day(1), day(7), day(9), None, gaps=[(day(2), day(3)), (day(5), day(7))])
    assert parts(marks) == [
        (0, 1, NOT_YET),
        (1, 2, READ),
        (2, 3, GAP),
        (3, 5, READ),
        (5, 7, GAP),
        (7, 9, READ),
        (9, 10, NOT_YET),
    ]


def test_the_span_before_the_first_read_is_unread_even_if_a_gap_follows() -> None:
    """The account was added on day 0, and its credential worked from day 4 on."""
    gaps = [(day(6), day(7))]
    marks = StreamMarks(day(4), day(7), day(10), None, gaps)
    assert parts(marks) == [(0, 4, NOT_YET), (4, 6, READ), (6, 7, GAP), (7, 10, READ)]
    refused = StreamMarks(day(6), day(7), day(10), None, gaps)
    assert parts(refused) == [(0, 6, NOT_YET), (6, 7, GAP), (7, 10, READ)]
    unknown = StreamMarks(None, day(7), day(10), None, [(day(2), day(3)), *gaps])
    assert parts(unknown)[:3] == [(0, 2, NOT_YET), (2, 3, GAP), (3, 6, READ)]


def test_a_backfill_adds_what_it_has_read_but_closes_no_gap() -> None:
    marks = StreamMarks(None, day(5), day(9), None, gaps=[(day(2), day(3))], backfilled=[(day(1), day(6))])
    assert parts(marks) == [(0, 1, NOT_YET), (1, 2, READ), (2, 3, GAP), (3, 9, READ), (9, 10, NOT_YET)]


moments = st.floats(-5, 15).map(day)
spans = st.tuples(moments, moments).map(lambda pair: (min(pair), max(pair)))


@given(moments | st.none(), moments | st.none(), moments | st.none(), moments | st.none(), st.lists(spans, max_size=3))
def test_the_parts_have_neither_hole_nor_overlap(
    first_from: datetime | None,
    complete_from: datetime | None,
    until: datetime | None,
    read: datetime | None,
    more: list[tuple[datetime, datetime]],
) -> None:
    found = classify(StreamMarks(first_from, complete_from, until, read, sorted(more), more), day(0), day(10))
    assert (found[0][0][0], found[-1][0][1]) == (day(0), day(10))
    for ((_, last), state), ((first, _), following) in pairwise(found):
        assert last == first
        assert state != following
