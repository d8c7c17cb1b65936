"""The simulator's clock: it follows the machine's clock, or is frozen until a test moves it."""

import time
from datetime import UTC, datetime, timedelta


class SimulatorClock:
    """A clock that can be frozen, set and advanced."""

    def __init__(self, frozen_at: datetime | None = None) -> None:
        """Start with the machine's time, or frozen at the given aware moment."""
        self._offset = timedelta(0)
        self._frozen = frozen_at.astimezone(UTC) if frozen_at else None

    def now(self) -> datetime:
        """Return the current UTC time, aware."""
        return self._frozen or self._machine_time() + self._offset

    def freeze(self, at: datetime | None = None) -> datetime:
        """Stop the clock now or at the given time."""
        self._frozen = at.astimezone(UTC) if at else self.now()
        return self._frozen

    def resume(self) -> datetime:
        """Let a frozen clock continue from its current time."""
        if self._frozen:
            self._offset = self._frozen - self._machine_time()
            self._frozen = None
        return self.now()

    def set(self, at: datetime) -> datetime:
        """Set the time; a frozen clock stays frozen."""
        return self.advance(at - self.now())

    def advance(self, by: timedelta | float) -> datetime:
        """Move by a timedelta or a number of seconds."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if self._frozen:
            self._frozen += step
        else:
            self._offset += step
        return self.now()

    @staticmethod
    def _machine_time() -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)
