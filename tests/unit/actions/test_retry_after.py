"""How long a receiver asks to wait."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.actions.retry_after import LONGEST_SECONDS, seconds

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
        ("1.5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("٣", None),
    ],
)
def test_seconds_and_dates_are_read_and_junk_is_not(value: str | None, wait: float | None) -> None:
    assert seconds(value, NOW) == wait


@given(st.text())
def test_no_header_costs_a_delivery(value: str) -> None:
    wait = seconds(value, NOW)
    assert wait is None or 0 <= wait <= LONGEST_SECONDS
