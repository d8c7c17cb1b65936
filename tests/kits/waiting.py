"""How long a test waits for what must come.

The limit only ends a test that would hang: how long a thing takes depends on what else the machine has to do.
"""

from collections.abc import Callable

from scripts.local import processes

PATIENCE_SECONDS = 300.0


def wait_until(ready: Callable[[], bool], what: str, pause_seconds: float = 0.05) -> None:
    """Wait for something to become true.

    Raises: TimeoutError, which names `what`.
    """
    processes.wait_until(ready, what, PATIENCE_SECONDS, pause_seconds)
