"""A `SECRET_KEY` that was lost stops the workers before what is owed fails, and is told."""

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from app.config import get_settings
from app.database import session_scope
from app.services import health
from app.services.outbox import actions
from app.utils.clock import utc_now
from tests.conftest import ENVIRONMENT, ROOT, forget
from tests.kits.waiting import PATIENCE_SECONDS

NEW_KEY = "a-key-under-which-nothing-was-stored"
HOOK = {"action_type": "webhook", "config": {"url": "https://example.com/hook"}}


def make_action() -> None:
    with session_scope() as session:
        actions.create(session, HOOK, get_settings(), utc_now())


def start_worker(environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "celery", "-A", "app.tasks.celery_app", "worker", "--concurrency=1"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def test_a_worker_whose_key_opens_nothing_that_is_stored_does_not_start(database: str) -> None:
    make_action()
    environment = ENVIRONMENT | {"PATH": os.environ["PATH"], "DATABASE_URL": database, "SECRET_KEY": NEW_KEY}
    worker = start_worker(environment)
    _, said = worker.communicate(timeout=PATIENCE_SECONDS)
    assert worker.returncode == 2
    [line] = [line for line in said.splitlines() if "SECRET_KEY" in line]
    assert line.startswith("giftpulse: SECRET_KEY decrypts none of the 1 stored secrets: ")
    assert "Traceback" not in said


def test_a_secret_that_cannot_be_decrypted_stops_no_worker_and_is_reported(
    database: str, broker: str, environment: pytest.MonkeyPatch
) -> None:
    make_action()
    environment.setenv("SECRET_KEY", NEW_KEY)
    forget()
    make_action()
    check = health.examine(get_settings(), utc_now()).checks["deliveries"]
    assert check.status == "degraded"
    assert "SECRET_KEY does not decrypt 1 of the stored secrets" in check.detail
    variables = ENVIRONMENT | {"PATH": os.environ["PATH"], "DATABASE_URL": database, "REDIS_URL": broker}
    worker = start_worker(variables | {"SECRET_KEY": NEW_KEY})
    try:
        assert worker.stderr is not None
        assert any("ready." in line for line in worker.stderr)
    finally:
        worker.terminate()
        worker.communicate(timeout=PATIENCE_SECONDS)
