"""When a rule may fire: hours of weekdays in a time zone. Pure."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from app.utils.calendar_edges import to_zone
from app.utils.zones import WEEKDAYS

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
Schedule = Mapping[str, Any]


@lru_cache(maxsize=512)
def _time(text: str) -> time:
    return time() if text == "24:00" else time.fromisoformat(text)


def contains(schedule: Schedule | None, at: datetime) -> bool:
    """Return whether a moment lies in [start, end); an `end` at or before `start` is on the next day.

    Args:    schedule: of the rule, with `timezone`, `days`, `start` and `end`; None means always.
    """
    if schedule is None:
        return True
    local = to_zone(at, ZoneInfo(schedule["timezone"]))
    start, end = _time(schedule["start"]), _time(schedule["end"])
    clock = local.time().replace(tzinfo=None)
    today, yesterday = WEEKDAYS[local.weekday()], WEEKDAYS[local.weekday() - 1]
    days = schedule["days"]
    if start < end:
        return today in days and start <= clock < end
    return (today in days and clock >= start) or (yesterday in days and clock < end)


def longest_stretch(schedule: Schedule) -> timedelta | None:
    """Return the longest time inside without a break, or None if it never ends. Ignores changes of clocks."""
    start, end = (_minutes(_time(schedule[name])) for name in ("start", "end"))
    length = (end - start) % DAY_MINUTES or DAY_MINUTES
    inside = {
        (WEEKDAYS.index(day) * DAY_MINUTES + start + minute) % WEEK_MINUTES
        for day in schedule["days"]
        for minute in range(length)
    }
    if len(inside) == WEEK_MINUTES:
        return None
    longest = current = 0
    for minute in range(2 * WEEK_MINUTES):  # Twice around: a stretch may cross the end of the week.
        current = current + 1 if minute % WEEK_MINUTES in inside else 0
        longest = max(longest, current)
    return timedelta(minutes=longest)


def _minutes(at: time) -> int:
    return at.hour * 60 + at.minute


def contains_whole(schedule: Schedule | None, since: datetime, until: datetime) -> bool:
    """Return whether the whole window (since, until] is inside."""
    if schedule is None:
        return True
    minutes = int((until - since) / timedelta(minutes=1))
    return all(contains(schedule, since + timedelta(minutes=minute)) for minute in range(minutes)) and contains(
        schedule, until - timedelta(microseconds=1)
    )
