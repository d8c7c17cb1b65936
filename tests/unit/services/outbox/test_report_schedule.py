"""When reports are due, in zones whose clocks change both ways."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.services.outbox.report_schedule import (
    ReportSchedule,
    from_row,
    latest_due,
    next_due,
    span_of,
)
from app.utils.zones import WEEKDAYS

BERLIN = ReportSchedule(every="day", timezone="Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_daily_report_is_due_at_a_time_of_the_local_clock() -> None:
    assert next_due(BERLIN, at("2026-11-23T06:59:59")) == at("2026-11-23T07:00")
    assert next_due(BERLIN, at("2026-11-23T07:00")) == at("2026-11-24T07:00")
    assert latest_due(BERLIN, at("2026-11-23T07:00")) == at("2026-11-23T07:00")
    assert latest_due(BERLIN, at("2026-11-23T06:59:59")) == at("2026-11-22T07:00")


def test_a_weekly_report_is_due_on_its_day_alone() -> None:
    weekly = ReportSchedule(every="week", weekday="wed", at="00:30", timezone="Asia/Kolkata")
    assert next_due(weekly, at("2026-11-23T00:00")) == at("2026-11-24T19:00")
    assert span_of(weekly, at("2026-11-24T19:00")) == (at("2026-11-17T19:00"), at("2026-11-24T19:00"))


@pytest.mark.parametrize(
    ("due", "hours"),
    [("2026-03-28T07:00", 24), ("2026-03-29T06:00", 23), ("2026-10-25T07:00", 25), ("2026-10-26T07:00", 24)],
)
def test_a_day_has_23_or_25_hours_where_clocks_change(due: str, hours: int) -> None:
    since, until = span_of(BERLIN, at(due))
    assert (until - since) == timedelta(hours=hours)
    assert next_due(BERLIN, since) == until


def test_a_week_has_an_hour_more_or_less_where_clocks_change() -> None:
    weekly = ReportSchedule(every="week", timezone="Europe/Berlin")
    spring, autumn = (span_of(weekly, at(due)) for due in ("2026-03-30T06:00", "2026-10-26T07:00"))
    assert spring[1] - spring[0] == timedelta(days=7, hours=-1)
    assert autumn[1] - autumn[0] == timedelta(days=7, hours=1)


def test_a_time_that_clocks_skip_is_later_and_one_that_they_double_is_the_first() -> None:
    night = ReportSchedule(every="day", at="02:30", timezone="Europe/Berlin")
    assert next_due(night, at("2026-03-28T12:00")) == at("2026-03-29T01:30")  # 03:30, for there is no 02:30
    assert next_due(night, at("2026-10-24T12:00")) == at("2026-10-25T00:30")  # the first of two
    assert next_due(night, at("2026-10-25T00:30")) == at("2026-10-26T01:30")


@given(
    schedule=st.builds(
        ReportSchedule,
        every=st.sampled_from(["day", "week"]),
        weekday=st.sampled_from(WEEKDAYS),
        at=st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59)),
        timezone=st.sampled_from(
            ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]
        ),
    ),
    now=st.datetimes(datetime(2011, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC)),
)
def test_spans_follow_each_other_without_a_hole(schedule: ReportSchedule, now: datetime) -> None:
    latest, following = latest_due(schedule, now), next_due(schedule, now)
    assert latest <= now < following
    assert span_of(schedule, following) == (latest, following)
    assert next_due(schedule, latest) == following
    length = timedelta(days=1 if schedule.every == "day" else 7)
    assert abs(following - latest - length) <= timedelta(hours=24 if schedule.timezone == "Pacific/Apia" else 1)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"every": "month"}, "every"),
        ({}, "every"),
        ({"every": "day", "weekday": "Monday"}, "weekday"),
        ({"every": "day", "at": "8:00"}, "at"),
        ({"every": "day", "at": "24:00"}, "at"),
        ({"every": "day", "timezone": "Europe/Bielefeld"}, "timezone"),
        ({"every": "day", "timezone": "localtime"}, "timezone"),
        ({"every": "day", "more": 1}, "more"),
    ],
)
def test_an_invalid_schedule_is_refused_at_its_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        from_row(wrong)
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]
