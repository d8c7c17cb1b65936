"""The id of a request goes along with the wake-up that it causes, into the worker's log."""

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from app import wake
from tests.kits.waiting import wait_until


def test_a_wake_up_carries_the_id_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, Any]] = []
    client = SimpleNamespace(send_task=lambda task, **options: sent.append((task, options["headers"])))
    monkeypatch.setattr(wake, "_client", lru_cache(lambda: client))
    monkeypatch.setattr(wake, "_wake_queue", wake._WakeQueue())
    with structlog.contextvars.bound_contextvars(request_id="asked"):
        wake.poll()
    wait_until(lambda: len(sent) == 1, "the wake-up is sent")
    wake.deliver()
    wait_until(lambda: len(sent) == 2, "the next one is sent")
    assert sent == [("poll", {"request_id": "asked"}), ("deliver", None)]


def test_a_task_logs_the_id_of_the_request_that_woke_it() -> None:
    from app.tasks.celery_app import _bind_log_context, _clear_log_context  # reads the settings at its import

    task = SimpleNamespace(name="poll", request={"request_id": "asked"})
    _bind_log_context(task_id="1", task=task)
    assert structlog.contextvars.get_contextvars() == {"task": "poll", "task_id": "1", "request_id": "asked"}
    _clear_log_context()
    assert structlog.contextvars.get_contextvars() == {}
