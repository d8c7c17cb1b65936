"""Whether this process was asked to stop. The answer is shared with all processes that are forked from it: what they
have begun they finish, and they begin nothing more."""

import time
from mmap import mmap

SLEEP_STEP_SECONDS = 0.2

_flag = mmap(-1, 1)


def request() -> None:
    """Ask this process and its children to stop."""
    _flag[0] = 1


def withdraw() -> None:
    """Take the request back, for tests."""
    _flag[0] = 0


def requested() -> bool:
    """Say whether to stop."""
    return _flag[0] == 1


def sleep(seconds: float) -> None:
    """Sleep until the time is up or a stop is requested."""
    ends_at = time.monotonic() + seconds
    while not requested() and (left := ends_at - time.monotonic()) > 0:
        time.sleep(min(left, SLEEP_STEP_SECONDS))
