"""The environment of a run: servers and the product's processes, with a faulty connection between any two of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

import httpx
import psycopg2

from scripts.local import processes
from scripts.local.children import Children
from scripts.local.postgres import Postgres
from scripts.local.processes import LOOPBACK, free_port, wait_until
from scripts.local.valkey import Valkey
from scripts.twilio_simulator import Simulator, SimulatorServer
from tests.chaos.rules import KINDS
from tests.kits.mailboxes import mail_server
from tests.kits.proxy import Proxy
from tests.kits.receivers import Request, decide, http_receiver

ROOT = Path(__file__).parent.parent.parent
API_KEY = "key-of-the-administrator"
LEASE_SECONDS = 20
"""Leases are shortened to this: a run is too short for the product's minutes."""
GENERAL = "/general"
"""The path of the action that gets every notification, so many that most are folded."""


@dataclass(frozen=True)
class ReceivedNotification:
    """A notification at a receiver, and whether it was confirmed."""

    id: str
    at: float
    content: bytes
    receiver: str


@dataclass
class Ledger:
    """What the receivers got, and how they respond."""

    rng: Random
    share_of_failures: float = 0.1
    received: list[ReceivedNotification] = field(default_factory=list)

    def hook(self, request: Request) -> int:
        """Respond to a webhook."""
        if self.rng.random() < self.share_of_failures:
            return self.rng.choice((500, 502, 503, 429, 408))
        self.received.append(
            ReceivedNotification(request.headers["webhook-id"], time.monotonic(), request.body, request.target)
        )
        return 200

    def mail(self) -> str:
        """Respond to a mail."""
        return "451 try again later" if self.rng.random() < self.share_of_failures else "250 OK"


@dataclass
class Environment:
    """Servers, processes and receivers. A fault that kills one restarts it."""

    folder: Path
    rng: Random
    workers: int
    simulator: Simulator
    ledger: Ledger

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Commits reach the operating system: a killed PostgreSQL must lose nothing, or the run would report it.
            self.postgres = Postgres(self.folder / "postgres", settings={"fsync": "off", "max_connections": "300"})
            self.postgres.start()
            stack.callback(self.postgres.stop)
            self.valkey = Valkey(self.folder / "valkey")
            self.valkey.start()
            stack.callback(self.valkey.stop)
            twilio = stack.enter_context(SimulatorServer(self.simulator))
            self.web = stack.enter_context(http_receiver(decide(self.ledger.hook)))
            self.mail = stack.enter_context(mail_server(to_data=self.ledger.mail))
            self.lines = {
                "Twilio": stack.enter_context(Proxy(twilio.port)),
                "PostgreSQL": stack.enter_context(Proxy(self.postgres.port)),
                "the broker": stack.enter_context(Proxy(self.valkey.port)),
                "the web receiver": stack.enter_context(Proxy(self.web.port)),
                "the mail receiver": stack.enter_context(Proxy(self.mail.port)),
            }
            self.api_port = free_port()
            self.api = stack.enter_context(
                httpx.Client(
                    base_url=f"http://{LOOPBACK}:{self.api_port}",
                    headers={"X-API-Key": API_KEY},
                    trust_env=False,
                    timeout=30,
                )
            )
            self.children = Children(self.folder, ROOT)
            stack.callback(self.children.stop)
            self._stop_time = threading.Event()
            thread = threading.Thread(target=self._let_leases_end, name="leases", daemon=True)
            stack.callback(thread.join)
            stack.callback(self._stop_time.set)
            if self.children.run("migrate", [sys.executable, "-m", "alembic", "upgrade", "head"], self.variables):
                raise RuntimeError(f"the migrations failed:\n{self.children.tail('migrate')}")
            thread.start()
            for name in ("api", *self.worker_names, "beat", "beat-2"):
                self.start(name)
            wait_until(self._answers, "the API answers", seconds=90)
            self._prepare()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def worker_names(self) -> list[str]:
        return [f"worker-{number}" for number in range(1, self.workers + 1)]

    @property
    def variables(self) -> dict[str, str]:
        twilio = f"http://{LOOPBACK}:{self.lines['Twilio'].port}"
        direct, through = f":{self.postgres.port}/", f":{self.lines['PostgreSQL'].port}/"
        broker = f":{self.valkey.port}/", f":{self.lines['the broker'].port}/"
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "DATABASE_URL": self.postgres.url().replace(direct, through),
            "REDIS_URL": self.valkey.url().replace(*broker),
            "API_KEY": API_KEY,
            "SECRET_KEY": "secret-that-encrypts-things",
            "TWILIO_ACCOUNT_SID": self.simulator.account.sid,
            "TWILIO_AUTH_TOKEN": self.simulator.account.auth_token,
            "TWILIO_API_BASE_URL": twilio,
            "TWILIO_MONITOR_BASE_URL": twilio,
            "TWILIO_MAX_REQUESTS_PER_MINUTE": "10000",
            "POLL_INTERVAL_SECONDS": "1",
            "EVALUATE_INTERVAL_SECONDS": "2",
            "DELIVERY_RETRY_SECONDS": ",".join(["1"] * 10 + ["5"] * 40),
            "WEBHOOK_TIMEOUT_SECONDS": "5",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "SMTP_HOST": LOOPBACK,
            "SMTP_PORT": str(self.lines["the mail receiver"].port),
            "SMTP_SECURITY": "none",
            "SMTP_FROM": "GiftPulse <giftpulse@example.com>",
            "LOG_FORMAT": "console",
        }

    def start(self, name: str) -> None:
        """Start or restart a process of the product."""
        python = [sys.executable, "-m"]
        celery = [*python, "celery", "-A", "app.tasks.celery_app"]
        commands = {
            "api": [*python, "uvicorn", "app.api.main:app", "--host", LOOPBACK, "--port", str(self.api_port)],
            "worker": [*celery, "worker", "--loglevel=info", "--concurrency=4", f"--hostname={name}@%h"],
            "beat": [*celery, "beat", "--loglevel=info"],
        }
        self.children.start(name, commands[name.partition("-")[0]], self.variables)

    def kill(self, name: str, *, whole: bool) -> None:
        """Kill a process with its children or alone; then the children must end by themselves."""
        process = self.children.running[name]
        if whole:
            processes.kill_group(process)
        else:
            process.kill()
            process.wait()

    def pids_of(self, name: str) -> list[int]:
        """List the child processes of a process."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,ppid=", "-e"], capture_output=True, text=True, check=True
        ).stdout.split()
        pairs = zip(map(int, listed[::2]), map(int, listed[1::2]), strict=True)
        parent = self.children.running[name].pid
        return [pid for pid, above in pairs if above == parent]

    def signal_all(self, name: str, sign: signal.Signals) -> None:
        os.killpg(self.children.running[name].pid, sign)

    def query(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Query the database directly, past the faulty connection."""
        connection = psycopg2.connect(self.postgres.url())
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def let_digests_come(self) -> None:
        """Skip the ten minutes between two digests."""
        self.query("UPDATE deliveries SET created_at = created_at - interval '10 minutes' WHERE type = 'alert.digest'")

    def _answers(self) -> bool:
        self.children.check()
        try:
            return self.api.get("/api/health").is_success
        except httpx.TransportError:
            return False

    def _make(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.api.post(path, json=body)
        if answer.status_code != 201:
            raise RuntimeError(f"POST {path} answered {answer.status_code}: {answer.text}")
        return answer.json()

    def _prepare(self) -> None:
        """Create rules, each with a webhook and a mail, and a webhook for all notifications."""
        wait_until(
            lambda: self.query("SELECT count(*) FROM streams WHERE complete_until IS NOT NULL") == [(3,)],
            "the streams are read for the first time",
            seconds=90,
        )
        base = f"http://{LOOPBACK}:{self.lines['the web receiver'].port}"
        for number, kind in enumerate(KINDS):
            rule_id = self._make("/api/rules", dict(kind.body))["id"]
            hook = {"rule_id": rule_id, "action_type": "webhook", "config": {"url": f"{base}/rule/{number}"}}
            mail = {"rule_id": rule_id, "action_type": "email", "config": {"recipients": [f"{number}@example.com"]}}
            self._make("/api/actions", hook)
            self._make("/api/actions", mail)
        self._make("/api/actions", {"action_type": "webhook", "config": {"url": base + GENERAL}})

    def _let_leases_end(self) -> None:
        """Shorten the leases of silent workers from minutes to seconds."""
        # The product's seconds for a stream, a mail, and a webhook with the timeout of this run.
        leases = {"streams": "90", "deliveries": "CASE action_type WHEN 'email' THEN 105 ELSE 50 END"}
        while not self._stop_time.wait(1):
            for table, seconds in leases.items():
                try:
                    self.query(
                        f"UPDATE {table} SET lease_until = now() - interval '1 ms' WHERE lease_until > now()"
                        f" AND lease_until < now() + (({seconds}) - {LEASE_SECONDS}) * interval '1 second'"
                    )
                except psycopg2.Error:
                    continue
