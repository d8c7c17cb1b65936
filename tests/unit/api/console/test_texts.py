"""Times, durations and shares as people read them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.api.console import texts

NOW = datetime(2026, 11, 29, 2, 4, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (datetime(2026, 11, 29, 1, 41, tzinfo=UTC), "02:41"),
        (datetime(2026, 11, 28, 23, 30, tzinfo=UTC), "00:30"),
        (datetime(2026, 11, 28, 20, 10, tzinfo=UTC), "yesterday 21:10"),
        (datetime(2026, 11, 26, 13, 3, tzinfo=UTC), "26 Nov 14:03"),
        (datetime(2025, 11, 26, 13, 3, tzinfo=UTC), "26 Nov 2025 14:03"),
    ],
)
def test_a_time_is_as_short_as_it_can_be(at: datetime, shown: str) -> None:
    assert texts.moment(at, BERLIN, NOW) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0 s"),
        (12, "12 s"),
        (23 * 60, "23 min"),
        (3600, "1 h"),
        (16_500, "4 h 35 min"),
        (86_400 * 3 + 7200, "3 d 2 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: int, shown: str) -> None:
    assert texts.duration(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("share", "shown"), [(1, "100%"), (0.99996, "99.9%"), (0.9612, "96.1%"), (0.05, "5%"), (0, "0%")]
)
def test_only_a_complete_share_is_a_hundred_percent(share: float, shown: str) -> None:
    assert texts.percent(share) == shown


@pytest.mark.parametrize(("now", "before", "shown"), [(106, 100, "+6%"), (97, 100, "\N{MINUS SIGN}3%"), (1, 0, None)])
def test_a_change_has_its_sign(now: float, before: float, shown: str | None) -> None:
    assert texts.change(now, before) == shown
