"""Where the bars of a report's traffic begin."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.services.reports.report import ReportSpan, step_starts

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("until", "hours"), [("2026-03-29T06:00", 23), ("2026-10-25T07:00", 25)])
def test_a_day_is_shown_by_hours(until: str, hours: int) -> None:
    since = at(until) - timedelta(hours=hours)
    starts = step_starts(since, at(until), BERLIN)
    assert starts == [since + number * timedelta(hours=1) for number in range(hours)]


@pytest.mark.parametrize(
    ("since", "until"), [("2026-03-23T07:00", "2026-03-30T06:00"), ("2026-10-19T06:00", "2026-10-26T07:00")]
)
def test_a_week_is_shown_by_local_days_whatever_clocks_do(since: str, until: str) -> None:
    starts = step_starts(at(since), at(until), BERLIN)
    assert len(starts) == 7
    assert {start.astimezone(BERLIN).strftime("%H:%M") for start in starts} == {"08:00"}


def test_the_first_and_the_last_hour_may_be_parts_and_the_others_are_whole() -> None:
    starts = step_starts(at("2026-11-23T00:40"), at("2026-11-23T03:30"), BERLIN)
    assert starts == [at(f"2026-11-23T{time}") for time in ("00:40", "01:00", "02:00", "03:00")]
    starts = step_starts(at("2026-11-23T00:40"), at("2026-11-23T00:50"), BERLIN)
    assert starts == [at("2026-11-23T00:40")]


def test_the_last_step_may_be_shorter() -> None:
    starts = step_starts(at("2026-11-23T00:00"), at("2026-11-23T01:30"), BERLIN)
    assert starts == [at("2026-11-23T00:00"), at("2026-11-23T01:00")]


def test_the_span_before_is_as_long_but_for_the_beginning_of_time() -> None:
    span = ReportSpan(at("2026-11-23T00:00"), at("2026-11-24T00:00"))
    assert span.before == at("2026-11-22T00:00")
    assert ReportSpan(at("0001-01-01T06:00"), at("0001-01-02T00:00")).before == at("0001-01-01T00:00")
