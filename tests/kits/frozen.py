"""Processes that stand still: they hold their connections, and the system acknowledges for them what is sent."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator


def children_of(pid: int) -> list[int]:
    """List the processes that one has started."""
    listed = subprocess.run(["ps", "-o", "pid=,ppid=", "-e"], capture_output=True, text=True, check=True).stdout.split()
    pairs = zip(map(int, listed[::2]), map(int, listed[1::2]), strict=True)
    return [child for child, parent in pairs if parent == pid]


@contextlib.contextmanager
def frozen(process: "subprocess.Popen[bytes] | None") -> Iterator[None]:
    """Stop a process with all that it started, until the end of the block."""
    assert process is not None
    with stopped([process.pid, *children_of(process.pid)]):
        yield


@contextlib.contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Stop processes until the end of the block."""
    for pid in pids:
        signal_if_there(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            signal_if_there(pid, signal.SIGCONT)


def signal_if_there(pid: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)
