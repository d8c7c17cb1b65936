"""The only module that reads the time; everything else takes it as an argument.

Machines' clocks differ, but leases, schedules and completeness must not. So a process with a database connection
regularly reads the database's time, and advances it by its monotonic clock, which no change of the machine's clock
affects.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the current UTC time."""
FRESH_SECONDS = 15.0
"""A monotonic clock may stop while a machine sleeps; afterwards the time is wrong for at most this long."""


class _Clock:
    """A time from elsewhere, and when it was read."""

    def __init__(self) -> None:
        self._read: tuple[datetime, float] | None = None

    def set_to(self, at: datetime) -> None:
        self._read = at, time.monotonic()

    @property
    def is_stale(self) -> bool:
        return self._read is None or time.monotonic() - self._read[1] > FRESH_SECONDS

    def now(self) -> datetime:
        if self._read is None:
            return datetime.now(UTC)
        at, steady = self._read
        return at + timedelta(seconds=time.monotonic() - steady)


database_clock = _Clock()
"""The clock shared by all processes; `app.database` sets it."""


def utc_now() -> datetime:
    """Return the current UTC time, aware: the database's once it was read, before that the machine's."""
    return database_clock.now()


_request_time: ContextVar[datetime | None] = ContextVar("request_time", default=None)


def start_request() -> None:
    """Fix the time of this request, so that all its parts agree."""
    _request_time.set(utc_now())


def request_time() -> datetime:
    """Return when the request began, so that its ages and its default end agree; outside of requests, now."""
    return _request_time.get() or utc_now()


def cut_to_second(at: datetime) -> datetime:
    """Drop the fraction of a second: Twilio's times have none."""
    return at.replace(microsecond=0)


def rfc3339_or_none(at: datetime | None) -> str | None:
    """Format a time as `rfc3339` does; None stays None."""
    return None if at is None else rfc3339(at)


def rfc3339(at: datetime) -> str:
    """Format an aware UTC time as the API does: `2026-11-23T06:09:00Z`, with microseconds only if there are any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
