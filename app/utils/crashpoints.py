"""Named places at which a test may kill the process, to prove that no moment of a crash loses anything."""

import os
import signal
from collections import Counter

_passes: Counter[str] = Counter()


def crashpoint(name: str) -> None:
    """Die here at the n-th pass if `GP_CRASHPOINT` is `name:n` in a test build; else do nothing."""
    if os.environ.get("GP_TEST_BUILD") != "1":
        return
    wanted, _, number = os.environ.get("GP_CRASHPOINT", "").partition(":")
    if wanted != name:
        return
    _passes[name] += 1
    if _passes[name] == int(number or 1):
        os.kill(os.getpid(), signal.SIGKILL)
