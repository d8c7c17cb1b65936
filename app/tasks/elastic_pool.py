"""How many processes a worker has: an idle one costs memory, so most are forked when tasks wait for them."""

import contextlib
import time
from typing import Any

from celery import bootsteps
from celery.worker import state

MIN_PROCESSES = 1
"""Processes of an idle worker. While it is busy, a task that waits gets another one."""
CHECK_INTERVAL_SECONDS = 1.0
IDLE_SECONDS = 15.0
"""So long after all processes were needed, one stops."""


class PoolSizer:
    """Decides whether to add or to stop a process, from one check of the tasks to the next."""

    def __init__(self, most: int) -> None:
        self._most, self._fewest = most, min(MIN_PROCESSES, most)
        self._tasks = 0
        self._needed_at = float("-inf")

    def step(self, tasks: int, processes: int, now: float) -> int:
        """Return 1 to add a process, -1 to stop one.

        One at a time: most tasks that wait behind a long one take milliseconds, and one more process runs all of them.

        Args:    tasks: running and waiting; now: seconds of any clock that does not jump.
        """
        lasting, self._tasks = min(self._tasks, tasks), tasks
        if lasting >= processes:
            self._needed_at = now
        if lasting > processes:
            return int(processes < self._most)
        is_idle = tasks == 0 and now - self._needed_at >= IDLE_SECONDS
        return -int(is_idle and processes > self._fewest)


class ElasticPool(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Starts a worker with few processes, and forks up to `--concurrency` while tasks wait.

    Celery's own autoscaling forks for tasks that would wait for milliseconds only, and stops processes that it has just
    sent a task to. `--autoscale` still turns that on in place of this.
    """

    requires = ("celery.worker.components:Pool", "celery.worker.components:Timer")

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.enabled = parent.pool_cls.uses_semaphore and not parent.autoscale
        self._timer: Any = None
        if self.enabled:  # before the pool is created, and the consumer, which receives as many tasks at once
            parent.max_concurrency, parent.min_concurrency = parent.concurrency, min(MIN_PROCESSES, parent.concurrency)

    def start(self, parent: Any) -> None:
        sizer = PoolSizer(parent.concurrency)
        self._timer = parent.timer.call_repeatedly(CHECK_INTERVAL_SECONDS, lambda: _adapt(parent.pool, sizer))

    def stop(self, parent: Any) -> None:  # noqa: ARG002  # Celery's signature
        if self._timer is not None:
            self._timer.cancel()


def _adapt(pool: Any, sizer: PoolSizer) -> None:
    change = sizer.step(len(state.reserved_requests), pool.num_processes, time.monotonic())
    if change > 0:
        pool.grow(change)
    elif change < 0:
        with contextlib.suppress(ValueError):  # all are busy by now
            pool.shrink(-change)
    if change:
        pool.maintain_pool()
