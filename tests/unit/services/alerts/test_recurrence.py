"""When silences hold: changes of clocks, midnight, and for ever."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.services.alerts.recurrence import Repeat, Validity, is_active, next_start, spans
from app.utils.zones import WEEKDAYS

BERLIN = "Europe/Berlin"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def repeat(start: str, end: str, *days: str, timezone: str = BERLIN) -> dict[str, Any]:
    return Repeat.model_validate({"timezone": timezone, "days": list(days), "start": start, "end": end}).model_dump()


def forever(start: str, end: str, *days: str, timezone: str = BERLIN) -> Validity:
    return Validity(LONG_AGO, None, repeat(start, end, *days, timezone=timezone))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "day", "held"),
    [
        # On 29 March 2026 clocks in Berlin go from 02:00 (01:00 UTC) to 03:00.
        pytest.param("02:30", "04:00", "2026-03-29", [("01:00", "02:00")], id="begins in the hour that is skipped"),
        pytest.param("01:00", "02:30", "2026-03-29", [("00:00", "01:00")], id="ends in it"),
        pytest.param("02:15", "02:45", "2026-03-29", [], id="lies in it"),
        pytest.param("01:30", "03:30", "2026-03-29", [("00:30", "01:30")], id="spans it"),
        # On 25 October 2026 they go from 03:00 (01:00 UTC) back to 02:00.
        pytest.param("02:30", "04:00", "2026-10-25", [("00:30", "03:00")], id="begins in the hour that comes twice"),
        pytest.param("01:00", "02:30", "2026-10-25", [("-1:00", "01:30")], id="ends in it"),
        pytest.param("02:15", "02:45", "2026-10-25", [("00:15", "01:45")], id="lies in it"),
        pytest.param("03:00", "04:00", "2026-10-25", [("02:00", "03:00")], id="begins after it"),
    ],
)
def test_changes_of_clocks(start: str, end: str, day: str, held: list[tuple[str, str]]) -> None:
    at, days = utc(day), WEEKDAYS[utc(day).weekday()]
    found = spans(forever(start, end, days), at - timedelta(hours=3), at + timedelta(hours=12))

    def moment(text: str) -> datetime:
        hours, minutes = text.split(":")
        return at + timedelta(hours=int(hours), minutes=int(minutes))

    assert [(span.begins_at, span.ends_at) for span in found] == [
        (moment(since), moment(until)) for since, until in held
    ]


def test_past_midnight_the_day_is_that_of_the_beginning() -> None:
    nights = forever("22:00", "06:00", "fri", timezone="UTC")
    assert is_active(nights, utc("2026-11-27T22:00"))
    assert is_active(nights, utc("2026-11-28T05:59"))
    assert not is_active(nights, utc("2026-11-28T06:00"))
    assert not is_active(nights, utc("2026-11-27T05:00")), "the night before began on a Thursday"


def test_an_end_at_the_start_is_a_whole_day() -> None:
    days = forever("08:00", "08:00", "mon", timezone="UTC")
    assert [is_active(days, utc(f"2026-11-{day}")) for day in ("23T07:59", "23T08:00", "24T07:59", "24T08:00")] == [
        False,
        True,
        True,
        False,
    ]


def test_it_holds_only_between_its_start_and_end() -> None:
    once = Validity(utc("2026-11-23T12:00"), utc("2026-11-24T12:00"), repeat("08:00", "14:00", timezone="UTC"))
    hours = [utc("2026-11-23") + timedelta(hours=hour) for hour in range(60)]
    assert [at.strftime("%d %H") for at in hours if is_active(once, at)] == [
        "23 12",
        "23 13",
        "24 08",
        "24 09",
        "24 10",
        "24 11",
    ]


@pytest.mark.parametrize(
    ("validity", "now", "expected"),
    [
        (forever("22:00", "06:00", "fri", timezone="UTC"), "2026-11-27T23:00", "2026-12-04T22:00"),
        (forever("22:00", "06:00", "fri", timezone="UTC"), "2026-11-27T21:00", "2026-11-27T22:00"),
        (forever("00:00", "00:00", timezone="UTC"), "2026-11-27T21:00", None),
        (forever("02:15", "02:45", "sun"), "2026-03-28T12:00", "2026-04-05T00:15"),
        (Validity(utc("2026-11-28"), None, repeat("22:00", "02:00", timezone="UTC")), "2026-11-20", "2026-11-28T00:00"),
        (Validity(LONG_AGO, utc("2026-11-27"), repeat("22:00", "23:00", timezone="UTC")), "2026-11-26T22:30", None),
        (Validity(utc("2026-11-28"), utc("2026-11-29"), None), "2026-11-20", "2026-11-28"),
        (Validity(utc("2026-11-28"), utc("2026-11-29"), None), "2026-11-28", None),
    ],
)
def test_the_second_start_reuses_the_first(validity: Validity, now: str, expected: str | None) -> None:
    assert next_start(validity, utc(now)) == (None if expected is None else utc(expected))


ZONES = st.sampled_from([BERLIN, "UTC", "America/Sao_Paulo", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kolkata"])
TIMES = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")


@given(
    ZONES,
    st.lists(st.sampled_from(WEEKDAYS), unique=True, max_size=3),
    TIMES,
    TIMES,
    st.datetimes(datetime(2009, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_a_repeat_agrees_with_the_clock_on_the_wall(
    zone: str, days: list[str], start: str, end: str, at: datetime
) -> None:
    """Away from changes of clocks, what holds is what a clock on the wall shows."""
    local = at.astimezone(ZoneInfo(zone))
    near = {(at + timedelta(hours=hours)).astimezone(ZoneInfo(zone)).utcoffset() for hours in range(-50, 51)}
    validity = forever(start, end, *days, timezone=zone)
    began_today = not days or WEEKDAYS[local.weekday()] in days
    began_yesterday = not days or WEEKDAYS[local.weekday() - 1] in days
    shown = local.strftime("%H:%M")
    if start < end:
        expected = began_today and start <= shown < end
    else:
        expected = (began_today and shown >= start) or (began_yesterday and shown < end)
    if len(near) == 1:
        assert is_active(validity, at) == expected
    following = next_start(validity, at)
    if following is not None:
        assert following > at
        assert is_active(validity, following)
        assert not is_active(validity, following - timedelta(microseconds=1))
    listed = spans(validity, at, at + timedelta(microseconds=1))
    assert is_active(validity, at) == any(
        span.begins_at <= at and span.ends_at is not None and at < span.ends_at for span in listed
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"timezone": "Mars/Olympus"},
        {"timezone": "../etc/passwd"},
        {"days": ["mon", "mon"]},
        {"days": ["monday"]},
        {"start": "24:00"},
        {"end": "9:00"},
        {"until": "x"},
    ],
)
def test_invalid_repeats_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Repeat.model_validate({"timezone": "UTC", "days": [], "start": "08:00", "end": "09:00"} | changes)
