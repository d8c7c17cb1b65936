"""Whether this process was asked to stop. Shared with forked processes: they finish current work and start no more."""

import time
from mmap import mmap

SLEEP_STEP_SECONDS = 0.2

_flag = mmap(-1, 1)


def request() -> None:
    """Ask this process and its children to stop."""
    _flag[0] = 1


def withdraw() -> None:
    """Cancel the request, for tests."""
    _flag[0] = 0


def requested() -> bool:
    """Return whether to stop."""
    return _flag[0] == 1


def sleep(seconds: float) -> None:
    """Sleep until the time is up or a stop is requested."""
    ends_at = time.monotonic() + seconds
    while not requested() and (left := ends_at - time.monotonic()) > 0:
        time.sleep(min(left, SLEEP_STEP_SECONDS))
