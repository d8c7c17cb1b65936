"""When the reports of an action are due: every day or week, at a local time. Pure."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from app.services.spans import Span
from app.utils.calendar_edges import to_zone
from app.utils.zones import WEEKDAYS, ClockTime, Weekday, ZoneName

SHORTEST_STEP = timedelta(microseconds=1)
SEARCHED_DAYS = 9
"""So many days in a row contain a report of every schedule, whichever day they begin on."""


class ReportSchedule(BaseModel):
    """How often an action gets a report, and when."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    every: Literal["day", "week"]
    weekday: Weekday = "mon"
    """For `week` alone."""
    at: ClockTime = "08:00"
    timezone: ZoneName = "UTC"


def from_row(stored: Mapping[str, Any]) -> ReportSchedule:
    """Read the schedule of a stored action."""
    return ReportSchedule.model_validate(dict(stored))


def next_due(schedule: ReportSchedule, now: datetime) -> datetime:
    """Return the first time after `now` at which a report is due."""
    first = _local_day(schedule, now) - timedelta(days=1)
    days = (first + timedelta(days=number) for number in range(SEARCHED_DAYS + 1))
    return next(due for day in days if _has_report(schedule, day) and (due := _due_on(schedule, day)) > now)


def latest_due(schedule: ReportSchedule, now: datetime) -> datetime:
    """Return the last time at or before `now` at which a report was due."""
    last = _local_day(schedule, now) + timedelta(days=1)
    days = (last - timedelta(days=number) for number in range(SEARCHED_DAYS + 1))
    return next(due for day in days if _has_report(schedule, day) and (due := _due_on(schedule, day)) <= now)


def span_of(schedule: ReportSchedule, due_at: datetime) -> Span:
    """Return the span of the report that is due at `due_at`: it begins when the one before was due."""
    return latest_due(schedule, due_at - SHORTEST_STEP), due_at


def _local_day(schedule: ReportSchedule, at: datetime) -> date:
    return to_zone(at, ZoneInfo(schedule.timezone)).date()


def _has_report(schedule: ReportSchedule, day: date) -> bool:
    return schedule.every == "day" or WEEKDAYS[day.weekday()] == schedule.weekday


def _due_on(schedule: ReportSchedule, day: date) -> datetime:
    """Return when the report of a day is due.

    If a change of clocks repeats the time, the first counts; if it skips the time, the report is later by the change.
    """
    local = datetime.combine(day, time.fromisoformat(schedule.at), ZoneInfo(schedule.timezone))
    return local.astimezone(UTC)
