"""The only place that asks for the time; everything else takes it as an argument.

The clocks of machines differ, and leases, schedules and what is known to be read whole must not. So a process that
speaks to the database keeps its clock: it reads it now and then, and counts on by its own steady clock, which no
setting of the machine's clock can move.
"""

import time
from datetime import UTC, datetime, timedelta

FRESH_SECONDS = 15.0
"""A machine that sleeps may not count; it is wrong for no longer than this after it wakes."""


class _Clock:
    """A time that was read elsewhere, and when that was."""

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
"""The clock that all processes share; `app.database` sets it."""


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC: the database's, once it was asked; before that the machine's."""
    return database_clock.now()


def cut_to_second(at: datetime) -> datetime:
    """Drop the fraction of a second: Twilio's times have none."""
    return at.replace(microsecond=0)


def rfc3339(at: datetime) -> str:
    """Write an aware UTC time as the API does: `2026-11-23T06:09:00Z`, with microseconds only where there are any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
