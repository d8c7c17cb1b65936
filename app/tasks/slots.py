"""How many tasks of one kind a worker runs at once: slow receivers must not keep it from polling, nor the reverse."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

PROCESSES = 9
SLOTS = {"poll": 3, "evaluate": 2, "deliver": 2, "callbacks": 1}
"""Of a worker with that many processes or more. What is left of them does the maintenance."""
FEW_PROCESSES = 6
FEW_SLOTS = {"poll": 2, "evaluate": 1, "deliver": 1, "callbacks": 1}
"""Of a worker with fewer. A second poll still goes on beside one that hangs."""
MANY_CPUS = 4
MUCH_MEMORY_BYTES = 3 * 1024**3
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Where a container finds how much memory it may use."""
NESTED_SLOTS = {"poll_failing": 1, "report_outage": 1}
"""Taken by a task that has a place already: streams that keep failing may hang, and must leave places to the others; an
outage is reported by one process."""
WIDTH = 64
"""More than any kind has places."""


def default_processes() -> int:
    """How many processes a worker has where `--concurrency` does not say: fewer on a small machine."""
    large = (os.cpu_count() or 1) >= MANY_CPUS and _memory_bytes() >= MUCH_MEMORY_BYTES
    return PROCESSES if large else FEW_PROCESSES


def _memory_bytes() -> int:
    """The memory of this machine, or less where a container has a limit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = MEMORY_LIMIT.read_text().strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory


@lru_cache
def _file() -> IO[bytes]:
    return TemporaryFile(prefix="giftpulse-worker-")


class _Worker:
    """The slots of this worker."""

    slots = SLOTS


def prepare(processes: int = PROCESSES) -> None:
    """Make what the worker's processes share; called before they are forked."""
    _Worker.slots = SLOTS if processes >= PROCESSES else FEW_SLOTS
    _file()


@contextmanager
def slot(kind: str) -> Iterator[bool]:
    """Take one of the places of this kind; the answer is False where all are taken.

    A place is a byte of a file that has no name any more. Its lock belongs to the process, and the system gives it
    back whatever becomes of that.
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
