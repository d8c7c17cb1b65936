"""Triggers a task early. A lost wake-up costs one beat tick, never data."""

import threading
from functools import lru_cache

import structlog
from celery import Celery

from app.config import get_settings

EXPIRES_SECONDS = 30
"""A wake-up expires if no worker takes it: beat has sent another by then."""
REQUEST_ID = "request_id"
"""The name of the request id in the logs of workers and of the API."""
BROKER_TIMEOUTS = {
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "global_keyprefix": "giftpulse:",
}

NO_SUCH_DATABASE = "REDIS_URL names a database that the server does not have: end it with a lower number, such as /0"

log = structlog.get_logger()


@lru_cache
def _client() -> Celery:
    client = Celery("giftpulse", broker=get_settings().broker_url)
    client.conf.update(broker_transport_options=BROKER_TIMEOUTS, task_ignore_result=True, task_serializer="json")
    return client


def load() -> None:
    """Build what sends wake-ups, without a connection: processes that are forked afterwards share it."""
    client = _client()
    client.finalize()
    for part in ("router", "queues", "send_task_message"):
        getattr(client.amqp, part)
    client.backend, client.producer_pool  # noqa: B018  # built when they are asked for


def broker_answers() -> bool:
    """Check whether the broker responds, for at most a few seconds."""
    return broker_fault() is None


def broker_fault() -> Exception | None:
    """Check whether the broker responds, as `broker_answers` does. Return the error, or None."""
    try:
        with _client().connection_for_write(transport_options={**BROKER_TIMEOUTS, "socket_timeout": 2}) as connection:
            connection.ensure_connection(max_retries=0, timeout=2)
            connection.default_channel  # noqa: B018  # opening it speaks to the server
    except Exception as error:  # noqa: BLE001 - every underlying library has its own errors
        return error
    return None


def explain(fault: Exception) -> str:
    """Explain in one sentence why the broker cannot be used."""
    if _has_no_such_database(fault):
        return NO_SUCH_DATABASE
    return "the broker does not answer: see REDIS_URL, and whether the server runs"


def warn_of_missing_database() -> None:
    """Log that the server lacks the database of `REDIS_URL`. Celery's own lines do not name the setting."""
    if (fault := broker_fault()) is not None and _has_no_such_database(fault):
        log.error(NO_SUCH_DATABASE)


def _has_no_such_database(fault: BaseException | None) -> bool:
    while fault is not None and "DB index" not in str(fault):
        fault = fault.__cause__ or fault.__context__
    return fault is not None


class _WakeQueue:
    """Sends wake-ups from a thread, so that callers never wait for a broker that is slow or unavailable."""

    def __init__(self) -> None:
        self._pending: dict[tuple[str, str], str | None] = {}
        """The id of the request that caused each wake-up, if any."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, task: str, queue: str) -> None:
        with self._changed:
            self._pending[task, queue] = structlog.contextvars.get_contextvars().get(REQUEST_ID)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="wake", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._pending:
                    self._changed.wait()
                task, queue = next(iter(self._pending))
                request_id = self._pending.pop((task, queue))
            headers = {REQUEST_ID: request_id} if request_id else None
            try:
                _client().send_task(task, queue=queue, expires=EXPIRES_SECONDS, retry=False, headers=headers)
            except Exception as error:  # noqa: BLE001 - regardless of the broker's error, beat will find what is due
                log.warning(
                    "could not wake a stage; its next tick will find the work", task=task, error=type(error).__name__
                )


_wake_queue = _WakeQueue()


def poll() -> None:
    """Wake polling: a stream is due."""
    _wake_queue.put("poll", "poll")


def callbacks() -> None:
    """Wake the fetching of logs that callbacks named."""
    _wake_queue.put("read_pushed", "callbacks")


def evaluate() -> None:
    """Wake evaluation: logs have changed."""
    _wake_queue.put("evaluate", "evaluate")


def deliver() -> None:
    """Wake delivery: notifications are pending."""
    _wake_queue.put("deliver", "deliver")
