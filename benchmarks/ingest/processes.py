"""What processes cost, by the processor's time."""

import contextlib

import psutil


def cpu_seconds(pid: int) -> float:
    """Add up the time of a process and of all that it started, those that have ended among them."""
    process = psutil.Process(pid)
    used = process.cpu_times()
    total = used.user + used.system + used.children_user + used.children_system
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return float(total)
