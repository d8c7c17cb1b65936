"""Small stand-ins that remember what was done to them."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 23, 6, 9, tzinfo=UTC)


def minutes(count: float) -> datetime:
    """The moment so many minutes after the start."""
    return START + timedelta(minutes=count)


class FrozenClock:
    """A clock that stands still until it is moved. It is called like `utc_now`."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> datetime:
        """Move on, by the arguments of `timedelta`: `clock.advance(minutes=5)`."""
        self.now += timedelta(**by)
        return self.now
