"""Times at the edges of the calendar, in every zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.actions.facts import format_time
from app.api.console import texts
from app.api.console.plots import scale, strip
from app.services.alerts.recurrence import Validity, is_active, next_start, spans
from app.services.reports.report import step_starts
from app.services.rules import schedule
from app.utils.calendar_edges import EARLIEST, LATEST, shift, to_zone
from app.utils.clock import rfc3339

ZONES = ["UTC", "Asia/Tokyo", "America/Los_Angeles", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"]
FOR_EVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 6, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_time_beyond_a_zones_calendar_is_its_edge() -> None:
    assert to_zone(FOR_EVER, ZoneInfo("Asia/Tokyo")).replace(tzinfo=None) == LATEST.replace(tzinfo=None)
    assert to_zone(EARLIEST, ZoneInfo("America/Los_Angeles")).replace(tzinfo=None) == EARLIEST.replace(tzinfo=None)
    assert to_zone(NOW, ZoneInfo("Asia/Tokyo")).hour == 15


def test_a_duration_ends_with_the_calendar() -> None:
    assert (shift(LATEST, DAY), shift(EARLIEST, -DAY), shift(NOW, DAY)) == (LATEST, EARLIEST, NOW + DAY)


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("at", [EARLIEST, EARLIEST + DAY, FOR_EVER - DAY, FOR_EVER, LATEST])
def test_the_edges_are_shown_and_computed_with(name: str, at: datetime) -> None:
    zone = ZoneInfo(name)
    assert texts.moment(at, zone, NOW)
    assert texts.day(at, zone)
    assert format_time(rfc3339(at), name)
    since, until = shift(at, -DAY), shift(at, DAY)
    assert step_starts(since, until, zone)[0] == since
    assert step_starts(since, shift(until, 9 * DAY), zone)[0] == since
    scale.ticks(since, until, zone)
    strip.nights(since, until, zone)
    strip.midnights(since, until, zone)
    schedule.contains({"timezone": name, "days": ["fri"], "start": "22:00", "end": "06:00"}, at)


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize(("start", "end"), [("22:00", "06:00"), ("00:00", "00:00"), ("09:00", "17:00")])
@pytest.mark.parametrize("days", [[], ["fri"]])
@pytest.mark.parametrize("at", [EARLIEST, EARLIEST + DAY, FOR_EVER - 7 * DAY, FOR_EVER - DAY, FOR_EVER])
def test_a_repeat_runs_to_the_edges(name: str, start: str, end: str, days: list[str], at: datetime) -> None:
    repeat = {"timezone": name, "days": days, "start": start, "end": end}
    for wanted in (Validity(at, None, repeat), Validity(EARLIEST, FOR_EVER, repeat)):
        is_active(wanted, at)
        next_start(wanted, at)
        list(spans(wanted, shift(at, -DAY), shift(at, DAY)))
    assert next_start(Validity(EARLIEST, FOR_EVER, repeat), NOW) is not None or (start, days) == ("00:00", [])


def test_the_end_of_the_calendar_is_named() -> None:
    assert texts.moment(FOR_EVER, ZoneInfo("Asia/Tokyo"), NOW) == "31 Dec 9999 23:59"
