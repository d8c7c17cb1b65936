"""The CPU time of processes."""

import contextlib

import psutil


def cpu_seconds(pid: int) -> float:
    """Sum the CPU time of a process and its children, including ended ones."""
    process = psutil.Process(pid)
    used = process.cpu_times()
    total = used.user + used.system + used.children_user + used.children_system
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return float(total)
