"""Named points at which a test can kill the process, to prove that a crash at any moment loses nothing."""

import os
import signal
from collections import Counter

_passes: Counter[str] = Counter()


def crashpoint(name: str) -> None:
    """Kill the process at the n-th pass if `GP_CRASHPOINT` is `name:n` in a test build."""
    if os.environ.get("GP_TEST_BUILD") != "1":
        return
    wanted, _, number = os.environ.get("GP_CRASHPOINT", "").partition(":")
    if wanted != name:
        return
    _passes[name] += 1
    if _passes[name] == int(number or 1):
        os.kill(os.getpid(), signal.SIGKILL)
