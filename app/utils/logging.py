"""Logging: structlog over the standard library, one line per event, as JSON or for people."""

import logging
import re
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from app.utils import database_errors
from app.utils.redact import HIDDEN

SECRET_NAME = re.compile(r"token|secret|password|authori[sz]ation|api_key|cookie", re.IGNORECASE)
SECRET_TEXT = re.compile(r"(?<=://)[^/@\s]+(?=@)|whsec_[A-Za-z0-9+/=]+")
"""The userinfo of a URL and a webhook's secret, anywhere in a text."""

SERVER = ("uvicorn", "uvicorn.error")
"""The server's own loggers; their lines have our format, no matter how it was started."""
SERVER_ACCESS = "uvicorn.access"
"""Its access log contains URLs with queries, which hold numbers and texts. The API writes its own."""
REPEATING = (
    "celery.beat",
    "celery.worker.consumer.consumer",
    "celery.worker.consumer.connection",
    "app.wake",
    "app.services.outbox.dispatch",
    "app.services.ingest.polling",
    "app.api.problems",
)
"""Loggers that repeat themselves while a server is unavailable."""
REPEAT_SECONDS = 60.0
QUIET = (
    "httpx",
    "httpcore",
    "urllib3",
    "twilio.http_client",
    "kombu",
    "celery.redirected",
    "celery.worker.strategy",
    "celery.app.trace",
    "celery.beat",
    "uvicorn.asgi",
)
"""Loggers whose lines contain URLs with queries, or that log every tick."""


def _hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The last safeguard: no secret should get here, but a library's error may quote a URL."""
    return {
        name: HIDDEN
        if SECRET_NAME.search(name)
        else (SECRET_TEXT.sub(HIDDEN, value) if isinstance(value, str) else value)
        for name, value in event.items()
    }


def _describe_database_errors(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Log a database error as its cause and position instead of a traceback, whose last lines contain values."""
    info = event.get("exc_info")
    raised = info[1] if isinstance(info, tuple) else info if isinstance(info, BaseException) else sys.exc_info()[1]
    error = database_errors.find(raised) if info else None
    if error is None:
        return event
    # Celery's message contains the whole error.
    line = str(event.get("event", "")).partition(type(error).__name__)[0].rstrip(" :(")
    kept = {name: value for name, value in event.items() if name != "exc_info"}
    return {**kept, "event": line, **database_errors.describe(error)}


class _OnceAMinute(logging.Filter):
    """Passes each warning of the loggers in `REPEATING` once a minute; Celery's as one line, without a traceback.

    The errors of requests all pass: an answer of status 500 refers to them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[object, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name not in REPEATING or record.levelno < logging.WARNING:
            return True
        event = record.msg if isinstance(record.msg, dict) else {"event": record.msg}
        if record.levelno >= logging.ERROR and "request_id" in event:
            return True
        key = record.name, *(event.get(name) for name in ("event", "account_sid", "log_type"))
        now = time.monotonic()
        if now - self._seen.get(key, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._seen[key] = now
        if record.name.startswith("celery."):
            record.msg, record.args, record.exc_info = record.getMessage().partition("\n")[0], None, None
        return True


def configure_logging(level: str, style: str) -> None:
    """Send all logs to standard error.

    Args:    level: a level name of the standard library; style: `json`, or `console` for people.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _describe_database_errors,
                structlog.processors.format_exc_info,
                _hide_secrets,
                last,
            ],
        )
    )
    handler.addFilter(_OnceAMinute())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    take_over_server()


def take_over_server() -> None:
    """Write the server's lines as ours, and its access log not at all. Uvicorn undoes this where it starts later."""
    for name in SERVER:
        server = logging.getLogger(name)
        server.handlers, server.propagate = [], True
    access = logging.getLogger(SERVER_ACCESS)
    access.handlers, access.propagate, access.disabled = [], False, True
