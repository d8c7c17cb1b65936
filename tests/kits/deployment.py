"""A whole GiftPulse as processes, between a simulated Twilio and receivers that live in the test."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from scripts.local.children import Children
from scripts.local.processes import LOOPBACK, free_port
from scripts.twilio_simulator import Simulator, SimulatorServer
from tests.kits.mailboxes import mail_server
from tests.kits.receivers import http_receiver
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).parent.parent.parent
API_KEY = "key-of-the-administrator"
PROCESSES = ("api", "worker", "beat")


@dataclass
class Deployment:
    """Twilio, GiftPulse's processes, receivers. `start` and `stop` processes as the story wants."""

    database_url: str
    broker_url: str
    folder: Path
    """Where the processes' logs go."""
    settings: dict[str, str] = field(default_factory=dict)
    """Settings that differ from the quick ones below."""
    simulator: Simulator = field(default_factory=Simulator)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.twilio = stack.enter_context(SimulatorServer(self.simulator))
            self.web = stack.enter_context(http_receiver())
            self.mail = stack.enter_context(mail_server())
            self.port = free_port()
            self.api = stack.enter_context(
                httpx.Client(
                    base_url=self.url,
                    headers={"X-API-Key": API_KEY},
                    trust_env=False,
                    timeout=PATIENCE_SECONDS,
                )
            )
            self.children = Children(self.folder, ROOT)
            stack.callback(self.children.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.broker_url,
            "API_KEY": API_KEY,
            "SECRET_KEY": "secret-that-encrypts-things",
            "TWILIO_ACCOUNT_SID": self.simulator.account.sid,
            "TWILIO_AUTH_TOKEN": self.simulator.account.auth_token,
            "TWILIO_API_BASE_URL": self.twilio.url,
            "TWILIO_MONITOR_BASE_URL": self.twilio.url,
            "TWILIO_MAX_REQUESTS_PER_MINUTE": "10000",
            "POLL_INTERVAL_SECONDS": "1",
            "EVALUATE_INTERVAL_SECONDS": "1",
            "DELIVERY_RETRY_SECONDS": "1,1,1,1,1,1,1,1,1,1",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "SMTP_HOST": LOOPBACK,
            "SMTP_PORT": str(self.mail.port),
            "SMTP_SECURITY": "none",
            "SMTP_FROM": "GiftPulse <giftpulse@example.com>",
            "PUBLIC_BASE_URL": self.url,
            "LOG_FORMAT": "console",
        } | self.settings

    def start(self, *names: str) -> None:
        """Start processes, as the contract's table says; wait for the API, where it is one of them."""
        python = [sys.executable, "-m"]
        celery = [*python, "celery", "-A", "app.tasks.celery_app"]
        for name in names or PROCESSES:
            if name == "api":
                listen = ["--host", LOOPBACK, "--port", str(self.port)]
                self.children.start(name, [*python, "uvicorn", "app.api.main:app", *listen], self.environment)
                wait_until(self._answers, "the API answers")
            elif name.startswith("worker"):
                self.children.start(name, [*celery, "worker", "--loglevel=info"], self.environment)
            else:
                self.children.start(name, [*celery, "beat", "--loglevel=info"], self.environment)

    @property
    def url(self) -> str:
        """Where the API answers."""
        return f"http://{LOOPBACK}:{self.port}"

    def poll_once(self) -> int:
        """Poll by hand; return the exit code."""
        return self.children.run("poll", [sys.executable, "-m", "app", "poll"], self.environment)

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Wait for something to become true; a process that died meanwhile is told instead."""

        def alive_and_ready() -> bool:
            self.children.check()
            return ready()

        wait_until(alive_and_ready, what, pause_seconds=0.1)

    def get(self, path: str, **parameters: str) -> Any:
        answer = self.api.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    def items(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(path, **({"limit": "1000"} | parameters))["items"]
        return found

    def make(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.api.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def _answers(self) -> bool:
        self.children.check()
        try:
            return self.api.get("/api/health/live").is_success
        except httpx.TransportError:
            return False
