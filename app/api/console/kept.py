"""Caches what pages read for seconds: many people look at once when something is wrong."""

import threading
import time
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

MAX_KEPT = 20
Key = ParamSpec("Key")
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Reads each value at most once in some seconds per process; drops the least recently used."""

    def __init__(self, read: Callable[Key, Value], seconds: float = 10.0) -> None:
        """Keep what a function returns for its arguments."""
        self._read, self._seconds = read, seconds
        self._lock = threading.Lock()
        self._kept: dict[object, tuple[float, Value]] = {}

    def get(self, *key: Key.args, **named: Key.kwargs) -> Value:
        """Return the value for these arguments. An error of the function is raised, and not kept."""
        known_by = key, *named.items()
        with self._lock:
            kept = self._kept.pop(known_by, None)
            if kept is None or not self.is_fresh(kept[0]):
                value = self._read(*key, **named)
                kept = time.monotonic(), value
            self._kept[known_by] = kept
            while len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            return kept[1]

    def is_fresh(self, read_at: float) -> bool:
        """Return whether a value that was read then may still be shown."""
        return time.monotonic() - read_at <= self._seconds
