"""The filters of the three lists, with Twilio's treatment of days."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from scripts.twilio_simulator.collection import Bounds, Wanted
from scripts.twilio_simulator.errors import ApiError, bad_parameter
from scripts.twilio_simulator.records import SORTED_BY, Record
from scripts.twilio_simulator.wire import Kind

DAY = timedelta(days=1)
ERROR_LOG_DAYS = 30
MESSAGE_DAYS = 400
STATUSES = frozenset({"queued", "ringing", "in-progress", "canceled", "completed", "failed", "busy", "no-answer"})
LEVELS = frozenset({"error", "warning", "notice", "debug"})
EQUAL = {
    Kind.CALL: {"To": "to", "From": "from", "ParentCallSid": "parent_call_sid", "Status": "status"},
    Kind.MESSAGE: {"To": "to", "From": "from"},
    Kind.ERROR: {"LogLevel": "log_level"},
}
"""Parameters that must equal a field."""
MOMENTS = {
    Kind.CALL: {"StartTime": "start_time", "EndTime": "end_time"},
    Kind.MESSAGE: {"DateSent": "date_sent"},
    Kind.ERROR: {},
}
"""Parameters that limit a time, with the operator at the end of their name."""


class DateFilters(StrEnum):
    """How the filters of calls and messages treat times; Twilio does not document it completely."""

    DAY = "day"
    """The time of day is ignored: `>` starts with that day, `<` ends at its 00:00."""
    DAY_INCLUSIVE = "day_inclusive"
    """The time of day is ignored: `>` starts with that day, `<` ends with it."""
    EXACT = "exact"
    """The time of day counts, and both bounds are inclusive."""


@dataclass
class Habits:
    """Behaviour of lists that Twilio does not document; can be changed at any time."""

    date_filters: DateFilters = DateFilters.DAY
    undated_pass: bool = False
    """Records without a time pass the filters on that time."""
    error_moment: str = "date_created"
    """What StartDate and EndDate of the error log refer to: `date_created` or `date_generated`."""


@dataclass
class Filter:
    """The conditions of one query."""

    tests: list[Wanted] = field(default_factory=list)
    bounds: Bounds = field(default_factory=Bounds)

    def wanted(self, record: Record) -> bool:
        """Return whether a record passes every condition."""
        return all(test(record) for test in self.tests)


def parse(kind: Kind, query: Mapping[str, str], habits: Habits, now: datetime) -> Filter:
    """Parse the filters of a query.

    Raises: ApiError: 400 if one is invalid.
    """
    _check(query, now)
    found = Filter([_equals(name, query[key]) for key, name in EQUAL[kind].items() if query.get(key)])
    for key, name in MOMENTS[kind].items():
        for operator in ("", ">", "<"):
            if query.get(key + operator):
                span = _span(operator, _moment(key, query[key + operator]), habits)
                _narrow(found, name, span, habits.undated_pass, SORTED_BY.get(kind) == name)
    if kind is Kind.ERROR:
        _narrow(
            found,
            habits.error_moment,
            _error_span(query, now),
            undated_pass=False,
            sorted_by_it=habits.error_moment == SORTED_BY[kind],
        )
    return found


def _check(query: Mapping[str, str], now: datetime) -> None:
    if query.get("Status", "queued") not in STATUSES:
        raise bad_parameter(f"Invalid Status {query['Status']}")
    if query.get("LogLevel", "error") not in LEVELS:
        raise bad_parameter(f"Invalid LogLevel {query['LogLevel']}")
    for key in ("DateSent", "DateSent<", "DateSent>"):
        if query.get(key) and _moment(key, query[key]) < now - timedelta(days=MESSAGE_DAYS + 1):
            raise ApiError(400, 20004, f"{key} may not be more than {MESSAGE_DAYS} days ago")


def _equals(name: str, value: str) -> Wanted:
    return lambda record: bool(record.value(name) == value)


def _span(operator: str, at: datetime, habits: Habits) -> tuple[float, float]:
    """Return the first and the last time that pass."""
    if habits.date_filters is DateFilters.EXACT and (operator or at != _day(at)):
        first, last = at, at
    else:
        first = _day(at)
        whole_day = not operator or habits.date_filters is DateFilters.DAY_INCLUSIVE
        last = first + DAY - timedelta(seconds=1) if whole_day else first
    return (
        float("-inf") if operator == "<" else first.timestamp(),
        float("inf") if operator == ">" else last.timestamp(),
    )


def _error_span(query: Mapping[str, str], now: datetime) -> tuple[float, float]:
    oldest = now - timedelta(days=ERROR_LOG_DAYS)
    first, last = oldest.timestamp(), float("inf")
    if text := query.get("StartDate"):
        start = _moment("StartDate", text)
        if start < _day(oldest):
            raise bad_parameter(f"StartDate may not be more than {ERROR_LOG_DAYS} days ago")
        first = max(first, start.timestamp())
    if text := query.get("EndDate"):
        end = _moment("EndDate", text)
        last = (end + DAY - timedelta(seconds=1) if len(text) == len("2026-03-01") else end).timestamp()
    return first, last


def _narrow(found: Filter, name: str, span: tuple[float, float], undated_pass: bool, sorted_by_it: bool) -> None:
    first, last = span
    found.tests.append(_between(name, first, last, undated_pass))
    if sorted_by_it and not undated_pass:
        found.bounds = Bounds(max(found.bounds.oldest, first), min(found.bounds.newest, last + 1))


def _between(name: str, first: float, last: float, undated_pass: bool) -> Callable[[Record], bool]:
    def test(record: Record) -> bool:
        at = record.moment(name)
        return undated_pass if at is None else first <= int(at) <= last

    return test


def _day(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _moment(key: str, text: str) -> datetime:
    """Parse `YYYY-MM-DD` or a full timestamp."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise bad_parameter(f"Invalid date format for {key}: {text}") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
