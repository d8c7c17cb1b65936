"""Limits the tasks of each kind per worker: slow receivers must not block polling, nor the reverse."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import mkstemp

PROCESSES = 9
SLOTS = {"poll": 3, "evaluate": 2, "deliver": 2, "callbacks": 1}
"""For workers with that many processes or more. Maintenance uses the remaining ones."""
FEW_PROCESSES = 5
FEW_SLOTS = {"poll": 2, "evaluate": 1, "deliver": 1, "callbacks": 1}
"""For workers with fewer processes. If one poll hangs, a second one still runs. Callbacks and maintenance, which take
seconds, share the process that the other kinds leave.
"""
MANY_CPUS = 4
MUCH_MEMORY_BYTES = 3 * 1024**3
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""A container's memory limit."""
NESTED_SLOTS = {"poll_failing": 1, "report_outage": 1}
"""For tasks that have a slot already: failing streams may hang and must leave slots to others; one process reports an
outage.
"""
WIDTH = 64
"""More slots than any kind has."""


def default_processes() -> int:
    """Return the number of worker processes if `--concurrency` is not given: fewer on a small machine."""
    large = (os.cpu_count() or 1) >= MANY_CPUS and _memory_bytes() >= MUCH_MEMORY_BYTES
    return PROCESSES if large else FEW_PROCESSES


def _memory_bytes() -> int:
    """Return the memory of this machine, or a container's limit if that is lower."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = MEMORY_LIMIT.read_text().strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory


@lru_cache
def _file() -> int:
    """Open an unlinked file; the descriptor lives as long as the process."""
    descriptor, path = mkstemp(prefix="giftpulse-worker-")
    Path(path).unlink()
    return descriptor


class _Worker:
    """The slots of this worker."""

    slots = SLOTS


def prepare(processes: int = PROCESSES) -> None:
    """Create the shared state before the worker's processes are forked."""
    _Worker.slots = SLOTS if processes >= PROCESSES else FEW_SLOTS
    _file()


@contextmanager
def slot(kind: str) -> Iterator[bool]:
    """Acquire a slot of this kind; yields False if all are in use.

    A slot is a byte of an unlinked file. Its lock belongs to the process, and the system releases it when the process
    ends.
    """
    kinds = _Worker.slots | NESTED_SLOTS
    first = list(kinds).index(kind) * WIDTH
    for position in range(first, first + kinds[kind]):
        try:
            fcntl.lockf(_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, position)
        except OSError:
            continue
        try:
            yield True
        finally:
            fcntl.lockf(_file(), fcntl.LOCK_UN, 1, position)
        return
    yield False


def mark(kind: str) -> None:
    """Record that there is work of this kind. A task does so before it tries to acquire a slot.

    If it gets none, the holder of a slot, who may just have found nothing left, sees the mark after the release.
    """
    os.pwrite(_file(), b"1", _mark_position(kind))


def is_marked(kind: str) -> bool:
    return os.pread(_file(), 1, _mark_position(kind)) == b"1"


def unmark(kind: str) -> None:
    """Remove the mark. A task does so before it looks for work."""
    os.pwrite(_file(), b"0", _mark_position(kind))


def _mark_position(kind: str) -> int:
    return list(_Worker.slots).index(kind)
