"""How many processes a worker has: an idle one costs memory, so most are forked when tasks wait for them."""

import contextlib
import time
from typing import Any

from celery import bootsteps
from celery.worker import state

RESTING = 2
"""Processes of an idle worker: while one hangs, the other works."""
LOOK_SECONDS = 1.0
IDLE_SECONDS = 30.0
"""So long after more than the resting processes were needed, the others stop."""


class Demand:
    """Decides how many processes to add or to stop, from one look at the tasks to the next."""

    def __init__(self, most: int) -> None:
        self._most, self._fewest = most, min(RESTING, most)
        self._is_busy = False
        self._needed_at = float("-inf")

    def change(self, tasks: int, processes: int, now: float) -> int:
        """Return the number of processes to add; negative: to stop.

        Args:    tasks: running and waiting; now: seconds of any clock that does not jump.
        """
        was_busy, self._is_busy = self._is_busy, tasks > self._fewest
        if was_busy and self._is_busy:  # twice, because most tasks take milliseconds
            self._needed_at = now
            return max(min(tasks, self._most) - processes, 0)
        is_idle = tasks == 0 and now - self._needed_at >= IDLE_SECONDS
        return min(self._fewest - processes, 0) if is_idle else 0


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
            parent.max_concurrency, parent.min_concurrency = parent.concurrency, min(RESTING, parent.concurrency)

    def start(self, parent: Any) -> None:
        demand = Demand(parent.concurrency)
        self._timer = parent.timer.call_repeatedly(LOOK_SECONDS, lambda: _adapt(parent.pool, demand))

    def stop(self, parent: Any) -> None:  # noqa: ARG002  # Celery's signature
        if self._timer is not None:
            self._timer.cancel()


def _adapt(pool: Any, demand: Demand) -> None:
    change = demand.change(len(state.reserved_requests), pool.num_processes, time.monotonic())
    if change > 0:
        pool.grow(change)
    elif change < 0:
        with contextlib.suppress(ValueError):  # all are busy by now
            pool.shrink(-change)
    if change:
        pool.maintain_pool()
