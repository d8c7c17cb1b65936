"""Ordinary and planted outbound traffic, for tests of what finds fraud."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any

from app.services.logs.types import NormalizedLog
from tests.fakes import START
from tests.feeding import Feed, log

NOW = START + timedelta(minutes=20)
SENT: dict[str, Any] = {"status": "delivered", "error_code": None}
CALLED: dict[str, Any] = {"log_type": "call", "status": "completed", "error_code": None, "text": None}
PRICES = {"message": Decimal("-0.04"), "call": Decimal("-0.02")}


class Traffic:
    """Outbound logs as an account sends them, ready to be stored."""

    def __init__(self, seed: int = 3) -> None:
        self._random = Random(seed)
        self._numbers = count(1)
        self.logs: list[NormalizedLog] = []

    def send(self, at: datetime, to: str, country: str, log_type: str = "message", **fields: Any) -> None:
        plain = CALLED | {"duration_seconds": 90} if log_type == "call" else SENT
        price = PRICES[log_type]
        number = next(self._numbers)
        self.logs.append(log(number, at, **plain | {"to": to, "to_country": country, "price": price} | fields))

    def grow(self, days: int = 35, per_hour: float = 2, growth: float = 1.02) -> None:
        """Send ordinary messages and calls: more by day than by night, and a little more every day."""
        for hour in range(24 * days):
            at = START - timedelta(days=days) + timedelta(hours=hour)
            daily = per_hour * growth ** (hour / 24) * (1.5 if 8 <= at.hour < 20 else 0.5)
            for country, code in (("GB", "+447"), ("US", "+1415")):
                for log_type, share in (("message", 1.0), ("call", 0.3)):
                    for _ in range(self._drawn(daily * share)):
                        to = f"{code}{self._random.randrange(10**8, 10**9)}"[:13]
                        seconds = self._random.choice([3, 40, 90, 300]) if log_type == "call" else None
                        self.send(
                            at + timedelta(seconds=self._random.randrange(3600)), to, country, log_type,
                            duration_seconds=seconds,
                        )  # fmt: skip

    def _drawn(self, mean: float) -> int:
        return int(mean) + (self._random.random() < mean % 1)

    def store(self, feed: Feed) -> None:
        """Store all logs, as read whole for two months."""
        self.store_until(feed, NOW)

    def store_until(self, feed: Feed, now: datetime) -> None:
        """Store the logs that were created by now and are not stored yet."""
        ready = [each for each in self.logs if each.occurred_at < now]
        self.logs = [each for each in self.logs if each.occurred_at >= now]
        for log_type in ("message", "call"):
            if logs := [each for each in ready if each.log_type == log_type]:
                feed.store(logs, now)
        feed.complete(now, START - timedelta(days=60))
