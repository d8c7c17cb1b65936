"""What each kind of process loads: a module that it has no use for costs memory in every installation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "DATABASE_URL": "postgresql://giftpulse@127.0.0.1:9/giftpulse",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "SECRET_KEY": "k" * 43 + "=",
    "API_KEY": "a" * 32,
}
WEB = ("fastapi", "starlette", "uvicorn")
COMMAND_LINE = ("typer", "rich", "pygments", "alembic", "app.cli")
CLIENT_OF_WEBHOOKS = ("aiohttp", "app.utils.http", "app.actions.webhook_sender")


def loaded_by(module: str) -> set[str]:
    """Import a module in a process of its own, and return the names of all modules that it has then."""
    told = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        env={"PATH": os.environ["PATH"], **SETTINGS},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    return set(told.stdout.split())


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        pytest.param(
            "app.tasks.celery_app",
            (*WEB, *COMMAND_LINE, "sqlalchemy", "httpx", "app.models", "app.tasks.jobs"),
            id="beat",
        ),
        pytest.param("app.tasks.worker", (*WEB, *COMMAND_LINE, "apprise", "app.api"), id="worker"),
        pytest.param(
            "app.api.main",
            (*COMMAND_LINE, "apprise", "app.tasks", *CLIENT_OF_WEBHOOKS),
            id="api",
        ),
    ],
)
def test_a_process_loads_nothing_that_it_does_not_use(module: str, unused: tuple[str, ...]) -> None:
    loaded = loaded_by(module)
    assert module in loaded
    assert loaded.isdisjoint(unused)


def test_a_worker_loads_what_its_processes_share_before_it_forks() -> None:
    loaded = loaded_by("app.tasks.worker")
    assert loaded.issuperset(CLIENT_OF_WEBHOOKS), "memory"
    assert "app.tasks.outage" in loaded, "each process would report an outage by itself"
