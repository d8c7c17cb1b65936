"""Caches in the memory of one process, for values that many ask for at once and that may be a few seconds old."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, ParamSpec, TypeVar

DEFAULT_SECONDS = 10.0
MAX_ENTRIES = 20
Args = ParamSpec("Args")
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass
class _Entry(Generic[Value]):
    """A value, and the lock of those who read it: two do not read the same, and nobody waits for another value."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    read: tuple[float, Value] | None = None
    """When it was read, and the value."""


class ReadCache(Generic[Args, Value]):
    """Calls a function at most once every few seconds for the same arguments; drops the least recently used values."""

    def __init__(
        self, read: Callable[Args, Value], seconds: float = DEFAULT_SECONDS, max_entries: int = MAX_ENTRIES
    ) -> None:
        """Cache what a function returns for its arguments."""
        self._read, self._seconds, self._max_entries = read, seconds, max_entries
        self._lock = threading.Lock()
        self._entries: dict[object, _Entry[Value]] = {}

    def get(self, *args: Args.args, **named: Args.kwargs) -> Value:
        """Return the value for these arguments. An error of the function is raised, and not cached."""
        entry = self._entry((args, *named.items()))
        with entry.lock:
            if entry.read is None or not self.is_fresh(entry.read[0]):
                value = self._read(*args, **named)
                entry.read = time.monotonic(), value
            return entry.read[1]

    def is_fresh(self, read_at: float) -> bool:
        """Return whether a value that was read then may still be shown."""
        return time.monotonic() - read_at <= self._seconds

    def clear(self) -> None:
        """Drop all values: what they show has changed."""
        with self._lock:
            self._entries.clear()

    def _entry(self, key: object) -> _Entry[Value]:
        """Return the entry of a key, now the most recently used."""
        with self._lock:
            entry = self._entries.pop(key) if key in self._entries else _Entry[Value]()
            self._entries[key] = entry
            while len(self._entries) > self._max_entries:
                del self._entries[next(iter(self._entries))]
            return entry


class TtlCache(Generic[Key, Value]):
    """Keeps values that the caller computes, each for a limited time; drops the oldest."""

    def __init__(self, seconds: float, max_entries: int) -> None:
        self._seconds, self._max_entries = seconds, max_entries
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def find(self, key: Key) -> Value | None:
        """Return the value of a key; None if there is none, or an expired one."""
        with self._lock:
            entry = self._entries.get(key)
        return entry[1] if entry is not None and time.monotonic() - entry[0] < self._seconds else None

    def keep(self, key: Key, value: Value) -> None:
        """Keep a value, and drop the oldest if there are too many."""
        with self._lock:
            self._entries[key] = time.monotonic(), value
            self._entries.move_to_end(key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
