"""The strip of a week: where nights and alerts lie."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from app.api.console.plots import strip

BERLIN = ZoneInfo("Europe/Berlin")
SINCE = datetime(2026, 3, 25, 11, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=7)


def test_a_week_from_noon_has_seven_nights_and_seven_midnights() -> None:
    nights = strip.nights(SINCE, UNTIL, BERLIN)
    assert len(nights) == 7
    assert all(part.x >= 0 and part.x + part.width <= 100 for part in nights)
    assert len(strip.midnights(SINCE, UNTIL, BERLIN)) == 7


def test_the_night_of_the_clock_change_is_an_hour_shorter() -> None:
    hours = [round(part.width / 100 * 168, 1) for part in strip.nights(SINCE, UNTIL, BERLIN)]
    assert hours == [9, 9, 9, 8, 9, 9, 9]


def test_a_night_that_has_begun_is_cut_at_the_edge() -> None:
    since = datetime(2026, 11, 1, 2, tzinfo=UTC)
    assert strip.nights(since, since + timedelta(days=7), ZoneInfo("UTC"))[0] == strip.Part(0, round(500 / 168, 3))


def test_a_short_alert_can_be_seen_even_at_the_right_edge() -> None:
    found = strip.part(SINCE, UNTIL, UNTIL, UNTIL, 0.6)
    assert found == strip.Part(99.4, 0.6)


def test_sleep_is_from_ten_to_seven_in_the_viewers_zone() -> None:
    at = datetime(2026, 1, 1, 21, 30, tzinfo=UTC)
    assert strip.is_night(at, BERLIN)
    assert not strip.is_night(at, ZoneInfo("UTC"))
    assert not strip.is_night(datetime(2026, 1, 1, 6, 0, tzinfo=UTC), BERLIN)
