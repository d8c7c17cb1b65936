"""When a silence is active: once, or repeatedly at local times. Pure.

A span of a repeat belongs to the day on which it begins. If a change of clocks repeats a local time, a span begins at
the first occurrence and ends at the last; a time that it skips is the moment of the change.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.services.rules.fields import distinct
from app.utils.calendar_edges import shift, to_zone
from app.utils.zones import WEEKDAYS, ClockTime, Weekday, ZoneName

SEARCHED_DAYS = 22
"""So many days contain a span of every repeat, even if a change of clocks removes one."""
LONGEST_SPAN_DAYS = 2
"""A span reaches into the next day, and a little further if clocks change."""


class Repeat(BaseModel):
    """The local times at which a silence is active repeatedly."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    timezone: ZoneName = Field(description="An IANA time zone.", examples=["Europe/Berlin"])
    days: Annotated[list[Weekday], AfterValidator(distinct)] = Field(
        [], description="The days on which it begins; empty: every day.", examples=[["sat", "sun"]]
    )
    start: ClockTime = Field(description="Start, in local time.", examples=["22:00"])
    end: ClockTime = Field(
        description="End, in local time. An end at or before `start` is on the next day.", examples=["06:00"]
    )


class ActiveSpan(NamedTuple):
    """A time span in which a silence is active, without its end."""

    begins_at: datetime
    ends_at: datetime | None
    """None if it never ends."""


class Validity(NamedTuple):
    """When a silence is active: from `starts_at` to `ends_at`, and within that at the times of `repeat`."""

    starts_at: datetime
    ends_at: datetime | None
    repeat: Mapping[str, Any] | None

    @classmethod
    def of(cls, starts_at: datetime, ends_at: datetime | None, repeat: Repeat | None) -> "Validity":
        """Create one from a user's values."""
        return cls(starts_at, ends_at, None if repeat is None else repeat.model_dump())


def is_active(validity: Validity, at: datetime) -> bool:
    """Return whether a silence is active at a moment."""
    within = validity.starts_at <= at and (validity.ends_at is None or at < validity.ends_at)
    if not within or validity.repeat is None:
        return within
    return any(begin <= at < end for begin, end in _occurrences(validity.repeat, at, at))


def next_start(validity: Validity, now: datetime) -> datetime | None:
    """Return when a silence becomes active next, after `now`; None if never, or if it is active without a break."""
    if validity.repeat is None:
        return validity.starts_at if validity.starts_at > now else None
    first = max(now, validity.starts_at)
    for span in spans(validity, first, shift(first, timedelta(days=SEARCHED_DAYS))):
        if span.begins_at > now and not is_active(validity, span.begins_at - timedelta(microseconds=1)):
            return span.begins_at
    return None


def spans(validity: Validity, since: datetime, until: datetime) -> Iterator[ActiveSpan]:
    """List the active spans of a silence that overlap `[since, until)`, the earliest first."""
    starts_at, ends_at, repeat = validity
    if starts_at >= until or (ends_at is not None and ends_at <= since):
        return
    if repeat is None:
        yield ActiveSpan(starts_at, ends_at)
        return
    for begin, end in _occurrences(repeat, since, until):
        begins_at, stops_at = max(begin, starts_at), end if ends_at is None else min(end, ends_at)
        if begins_at < stops_at and begins_at < until and stops_at > since:
            yield ActiveSpan(begins_at, stops_at)


def _occurrences(repeat: Mapping[str, Any], since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """List the spans of a repeat that may overlap `[since, until]`, in UTC, the earliest first."""
    zone = ZoneInfo(repeat["timezone"])
    start, end = time.fromisoformat(repeat["start"]), time.fromisoformat(repeat["end"])
    first = to_zone(since, zone).toordinal() - LONGEST_SPAN_DAYS
    # No day follows the calendar's last day, so a span cannot reach into it.
    for day in map(date.fromordinal, range(max(1, first), to_zone(until, zone).toordinal() + 1)):
        if not repeat["days"] or WEEKDAYS[day.weekday()] in repeat["days"]:
            begins_at = _instants(day, start, zone)[0]
            ends_at = _instants(day if start < end or day == date.max else day + timedelta(days=1), end, zone)[1]
            if begins_at < ends_at:
                yield begins_at, ends_at


def _instants(day: date, at: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the first and the last moment at which clocks show a time, or the moment of the change that skips it."""
    local = datetime.combine(day, at, zone)
    first, last = (to_zone(local.replace(fold=fold), UTC) for fold in (0, 1))
    if first > last:
        change = _change_of_clocks(last, first, zone)
        return change, change
    return first, last


def _change_of_clocks(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Find the second between two moments at which the offset changes."""
    offset = to_zone(before, zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if to_zone(middle, zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
