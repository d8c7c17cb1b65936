"""The Celery app: queues, beat's ticks, and what all tasks share. A task only calls one service.

Beat imports this module and needs neither the tasks nor the database: only workers load them.
"""

import gc
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import structlog
from celery import Celery, Task, bootsteps
from celery.beat import Scheduler
from celery.signals import (
    setup_logging,
    task_postrun,
    task_prerun,
    worker_before_create_process,
    worker_init,
    worker_process_init,
    worker_shutting_down,
)
from celery.worker import strategy
from kombu import Exchange, Queue

from app.config import Settings, get_settings, remarks
from app.errors import ConfigError
from app.tasks import slots
from app.tasks.elastic_pool import ElasticPool
from app.tasks.liveness import LivenessFile
from app.utils import stopping
from app.utils.logging import configure_logging
from app.wake import BROKER_TIMEOUTS, REQUEST_ID

QUEUES = ("poll", "callbacks", "evaluate", "deliver", "maintenance")
LIVENESS_INTERVAL_SECONDS = 10.0

log = structlog.get_logger()


class TickingScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Beat without a schedule file: the database decides what is due, and ticks may be lost or repeated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._alive = LivenessFile(get_settings().liveness_path)
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        self._alive.touch()
        return super().tick(*args, **kwargs)


class Liveness(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Touches the worker's liveness file while the event loop of its main process runs."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        alive = LivenessFile(get_settings().liveness_path)
        alive.touch()
        self._timer = parent.timer.call_repeatedly(LIVENESS_INTERVAL_SECONDS, alive.touch)

    def stop(self, parent: Any) -> None:  # noqa: ARG002  # Celery's signature
        if self._timer is not None:
            self._timer.cancel()


def guarded_strategy(*args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Receive task messages as Celery does, but reject an unreadable one instead of stopping the worker."""
    take = strategy.default(*args, **kwargs)

    def take_or_refuse(message: Any, *others: Any, **named: Any) -> Any:
        try:
            return take(message, *others, **named)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            log.warning("a message that is not a task was rejected", error=type(error).__name__)
            return message.reject()

    return take_or_refuse


class TimedTask(Task):  # type: ignore[misc]  # Celery has no types
    """A task that synchronizes with the database's clock when it begins."""

    Strategy = f"{__name__}:guarded_strategy"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from app.database import sync_clock
        from app.tasks import outage
        from app.utils.db_retry import is_transient

        try:
            sync_clock()
            return super().__call__(*args, **kwargs)
        except Exception as error:
            if not is_transient(error):
                raise
            outage.report(error)


def _tick(task: str, queue: str, seconds: float) -> dict[str, Any]:
    """Define a tick. It expires before the next one, so no ticks pile up during an outage."""
    return {"task": task, "schedule": seconds, "options": {"queue": queue, "expires": seconds}}


def create_celery(settings: Settings) -> Celery:
    """Create the app from validated settings."""
    settings.database_parameters, settings.secret_keys  # noqa: B018  # asked for now, so that a missing one stops the start
    celery = Celery("giftpulse", broker=settings.broker_url, task_cls=TimedTask)
    celery.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        # Acknowledge early: a task is only a wake-up, and redelivery after a lost connection has killed workers.
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        # It cancels only tasks that are acknowledged late. Unless it is set, each loss of the broker logs eight lines.
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=slots.default_processes(),
        worker_max_tasks_per_child=2_000,
        worker_max_memory_per_child=500_000,
        worker_hijack_root_logger=False,
        worker_soft_shutdown_timeout=20,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=BROKER_TIMEOUTS,
        # Each queue has its own exchange: by default, one message would go to all queues.
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        task_default_queue="maintenance",
        timezone="UTC",
        beat_scheduler=f"{__name__}:{TickingScheduler.__name__}",
        beat_max_loop_interval=5,
        beat_schedule={
            "poll": _tick("poll", "poll", min(5, settings.poll_interval_seconds / 2)),
            "read_pushed": _tick("read_pushed", "callbacks", 10),
            "evaluate": _tick("evaluate", "evaluate", 5),
            "evaluate_time": _tick("evaluate_time", "evaluate", settings.evaluate_interval_seconds),
            "deliver": _tick("deliver", "deliver", 5),
            "reports": _tick("make_reports", "maintenance", 20),
            "maintain": _tick("maintain", "maintenance", 60),
            "index_texts": _tick("index_texts", "maintenance", 15),
            "tallies": _tick("tally_hours", "maintenance", 15),
            "heartbeat": _tick("heartbeat", "maintenance", 60),
            "note_beat": _tick("note_beat", "maintenance", 10),
        },
    )
    celery.steps["worker"].update((Liveness, ElasticPool))
    return celery


@setup_logging.connect
def _log_as_configured(**_: object) -> None:
    configure_logging(get_settings().log_level, get_settings().log_format)
    for remark in remarks():
        structlog.get_logger().warning("a setting looks like a mistake", remark=remark)


@worker_init.connect
def _start_worker(sender: Any, **_: object) -> None:
    """Load everything the worker's processes need before they are forked, so that they share memory."""
    from app.tasks import worker

    try:
        worker.prepare(sender.concurrency)
    except ConfigError as error:
        _stop(error)


@worker_before_create_process.connect
def _share_memory(**_: object) -> None:
    """Exclude loaded objects from garbage collection, which would copy every shared page that it touches in a child."""
    gc.collect()
    gc.freeze()


def _stop(error: ConfigError) -> NoReturn:
    print(f"giftpulse: {error}", file=sys.stderr)
    sys.exit(2)


@worker_shutting_down.connect
def _request_stop(**_: object) -> None:
    """Let the children finish their current work and start no more."""
    stopping.request()


@worker_process_init.connect
def _start_child(**_: object) -> None:
    from app.database import forget_connections

    forget_connections()


@task_prerun.connect
def _bind_log_context(task_id: str, task: Task, **_: object) -> None:
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)
    if request_id := task.request.get(REQUEST_ID):
        structlog.contextvars.bind_contextvars(**{REQUEST_ID: request_id})


@task_postrun.connect
def _clear_log_context(**_: object) -> None:
    structlog.contextvars.clear_contextvars()


try:
    celery_app = create_celery(get_settings())
except ConfigError as error:
    _stop(error)
app = celery_app
