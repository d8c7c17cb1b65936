"""How long a server asks to wait."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.retry_after import MAX_SECONDS, parse_retry_after

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("1000000000", 3600),
        ("9" * 5000, 3600),
        ("Tue, 24 Nov 2026 03:02:00 GMT", 120),
        ("Tue, 24 Nov 2026 23:00:00 GMT", 3600),
        ("Tue, 24 Nov 2026 02:00:00 GMT", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("٣", None),
    ],
)
def test_seconds_and_dates_are_read_and_junk_is_not(value: str | None, wait: float | None) -> None:
    assert parse_retry_after(value, NOW) == wait


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("1.5", 2),
        ("0.25", 1),
        ("59.000", 59),
        ("+30", 30),
        ('"30"', 30),
        ("30s", 30),
        ("30 seconds", 30),
        ("1.5s", 2),
        ("2 minutes", 120),
        ("1m", 60),
        ("1 hour", 3600),
        ("30 fortnights", None),
        ("5, 90", 90),
        ("90, 5, soon", 90),
        ("5, Tue, 24 Nov 2026 03:02:00 GMT", 120),
        ("Tue, 24 Nov 2026 03:02:00 GMT, 5", 120),
        ("Tuesday, 24-Nov-26 03:02:00 GMT", 120),
        ("Tue Nov 24 03:02:00 2026", 120),
        ("24 Nov 2026 03:02:00", 120),
        ("Tue, 24 Nov 2026 04:02:00 +0100", 120),
        ("2026-11-24T03:02:00Z", 120),
        ("2026-11-24T03:02:00.5+00:00", 121),
        ("2026-11-24 03:02:00", 120),
    ],
)
def test_forms_that_are_not_quite_the_standards_never_end_sooner_than_asked(value: str, wait: int | None) -> None:
    assert parse_retry_after(value, NOW) == wait


def test_a_date_counts_from_the_servers_own_clock_where_that_is_behind_ours() -> None:
    until = "Tue, 24 Nov 2026 03:02:00 GMT"
    assert parse_retry_after(until, NOW, "Tue, 24 Nov 2026 02:55:00 GMT") == 420
    assert parse_retry_after(until, NOW, "Tue, 24 Nov 2026 03:01:30 GMT") == 120
    assert parse_retry_after(until, NOW, "whenever") == 120


@given(st.text() | st.from_regex(r"[-+0-9.,:;TZGMT eE]{0,30}", fullmatch=True))
def test_no_header_costs_a_delivery(value: str) -> None:
    wait = parse_retry_after(value, NOW)
    assert wait is None or 0 <= wait <= MAX_SECONDS


@given(st.lists(st.integers(0, 3600), min_size=1, max_size=5))
def test_of_several_values_the_longest_counts(values: list[int]) -> None:
    assert parse_retry_after(", ".join(map(str, values)), NOW) == max(values)
