"""Caches what pages read for seconds: many people look at once when something is wrong."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, ParamSpec, TypeVar

MAX_KEPT = 20
Key = ParamSpec("Key")
Value = TypeVar("Value")


@dataclass
class _Entry(Generic[Value]):
    """A value, and the lock of those who read it: two do not read the same, and nobody waits for another value."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    read: tuple[float, Value] | None = None
    """When it was read, and the value."""


class Kept(Generic[Key, Value]):
    """Reads each value at most once in some seconds per process; drops the least recently used."""

    def __init__(self, read: Callable[Key, Value], seconds: float = 10.0) -> None:
        """Keep what a function returns for its arguments."""
        self._read, self._seconds = read, seconds
        self._lock = threading.Lock()
        self._entries: dict[object, _Entry[Value]] = {}

    def get(self, *key: Key.args, **named: Key.kwargs) -> Value:
        """Return the value for these arguments. An error of the function is raised, and not kept."""
        entry = self._entry((key, *named.items()))
        with entry.lock:
            if entry.read is None or not self.is_fresh(entry.read[0]):
                value = self._read(*key, **named)
                entry.read = time.monotonic(), value
            return entry.read[1]

    def is_fresh(self, read_at: float) -> bool:
        """Return whether a value that was read then may still be shown."""
        return time.monotonic() - read_at <= self._seconds

    def _entry(self, key: object) -> _Entry[Value]:
        """Return the entry of a key, now the most recently used."""
        with self._lock:
            entry = self._entries.pop(key) if key in self._entries else _Entry[Value]()
            self._entries[key] = entry
            while len(self._entries) > MAX_KEPT:
                del self._entries[next(iter(self._entries))]
            return entry
