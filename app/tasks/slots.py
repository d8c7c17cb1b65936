"""How many tasks of one kind a worker runs at once: slow receivers must not keep it from polling, nor the reverse."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from tempfile import TemporaryFile
from typing import IO

SLOTS = {"poll": 3, "evaluate": 2, "deliver": 2, "callbacks": 1}
"""What is left of a worker's processes does the maintenance."""
WITHIN = {"poll_failing": 1}
"""Taken by a task that has a place already: streams that keep failing may hang, and must leave places to the others."""
WIDTH = 64
"""More than any kind has places."""


@lru_cache
def _file() -> IO[bytes]:
    return TemporaryFile(prefix="giftpulse-worker-")


def prepare() -> None:
    """Make what the worker's processes share; called before they are forked."""
    _file()


@contextmanager
def slot(kind: str) -> Iterator[bool]:
    """Take one of the places of this kind; the answer is False where all are taken.

    A place is a byte of a file that has no name any more. Its lock belongs to the process, and the system gives it
    back whatever becomes of that.
    """
    kinds = SLOTS | WITHIN
    first = list(kinds).index(kind) * WIDTH
    for place in range(first, first + kinds[kind]):
        try:
            fcntl.lockf(_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            continue
        try:
            yield True
        finally:
            fcntl.lockf(_file(), fcntl.LOCK_UN, 1, place)
        return
    yield False
