"""The servers of a benchmark: PostgreSQL, Valkey, the simulated Twilio and a worker, each a process."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from app import wake
from app.config import get_settings
from app.database import get_engine, session_scope
from app.services.evaluation import change_queue
from app.services.ingest import accounts
from app.utils.clock import utc_now
from scripts.local import processes
from scripts.local.postgres import Postgres
from scripts.local.valkey import Valkey
from scripts.twilio_simulator import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN

ROOT = Path(__file__).parent.parent.parent
TEMPLATE = "template_giftpulse"
POSTGRES = {"shared_buffers": "1GB", "max_wal_size": "8GB", "max_connections": "100"}
"""A commit is on disk when it returns, as in production."""
SETTINGS = {
    "API_KEY": "key-of-the-benchmark",
    "SECRET_KEY": "secret-of-the-benchmark",
    "LOG_LEVEL": "WARNING",
    "TWILIO_ACCOUNT_SID": DEMO_ACCOUNT_SID,
    "TWILIO_AUTH_TOKEN": DEMO_AUTH_TOKEN,
    "TWILIO_MAX_REQUESTS_PER_MINUTE": "100000",
    "POLL_INTERVAL_SECONDS": "60",
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
}
MAX_SECONDS = 600.0


class World:
    """All servers, and the operations of a benchmark."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = Postgres(folder / "postgres", settings=POSTGRES)
        self.valkey = Valkey(folder / "valkey")
        self.simulator: subprocess.Popen[bytes] | None = None

    def start(self, messages: int) -> None:
        """Start the servers; the simulated Twilio has this many final messages of the last hours."""
        self.postgres.start()
        self.valkey.start()
        port = processes.free_port()
        url = f"http://{processes.LOOPBACK}:{port}"
        self.simulator = self._run("scripts.twilio_simulator", "--port", str(port), "--no-traffic")
        processes.wait_until(lambda: not processes.port_is_free(port), "the simulator starts")
        wanted = {"count": messages, "spacing_seconds": 0.1}
        httpx.post(f"{url}/_simulator/bulk", json=wanted, timeout=120).raise_for_status()
        use({**SETTINGS, "REDIS_URL": self.valkey.url(), "TWILIO_API_BASE_URL": url, "TWILIO_MONITOR_BASE_URL": url})

    def stop(self) -> None:
        """Stop them."""
        if self.simulator is not None:
            processes.stop(self.simulator)
        self.valkey.stop()
        self.postgres.stop()

    @contextmanager
    def database(self, name: str) -> Iterator[None]:
        """Create a database with the product's schema, the simulated account and no rules."""
        self.postgres.create_database(name)
        use({"DATABASE_URL": self.postgres.url(name)})
        command.upgrade(Config(str(ROOT / "alembic.ini")), "head")
        with session_scope() as session:
            accounts.ensure_environment_account(session, get_settings(), utc_now())
            session.execute(text("UPDATE accounts SET started_at = now() - interval '2 days'"))
        yield
        get_engine().dispose()
        self.postgres.drop_database(name)

    @contextmanager
    def worker(self) -> Iterator[int]:
        """Run one worker as in production, except for deliveries; yields its process id."""
        self.valkey.ask("FLUSHALL")
        worker = self._run("celery", "-A", "app.tasks.celery_app", "worker", "-Q", "poll,evaluate", "--loglevel=ERROR")
        try:
            ping = wake._client().control.ping
            processes.wait_until(lambda: bool(ping(timeout=0.5)), "the worker starts", MAX_SECONDS)
            yield worker.pid
        finally:
            processes.stop(worker)

    def _run(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "processes.log").open("ab") as output:
            return processes.start([sys.executable, "-m", module, *arguments], cwd=ROOT, output=output)


@contextmanager
def a_world(messages: int) -> Iterator[World]:
    """Start a world in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="giftpulse-benchmark-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)  # PostgreSQL does not run as root
        world = World(Path(name))
        try:
            world.start(messages)
            yield world
        finally:
            world.stop()


def use(settings: Mapping[str, str]) -> None:
    """Use these settings in this process and its children."""
    os.environ.update(settings)
    if get_engine.cache_info().currsize:
        get_engine().dispose()
    get_engine.cache_clear()
    wake._client.cache_clear()
    get_settings.cache_clear()


def relist_everything() -> None:
    """Make the next poll list everything, even if it is stored."""
    with session_scope() as session:
        session.execute(
            text("UPDATE streams SET complete_from = NULL, complete_until = NULL, swept_at = '{}', due_at = now()")
        )


def await_evaluated(since: datetime) -> None:
    """Wait until all streams were polled since then and everything is evaluated."""

    def done() -> bool:
        with session_scope() as session:
            polled = text(
                "SELECT bool_and(coalesce(last_success_at >= :since, false) AND lease_token IS NULL) FROM streams"
            )
            return bool(session.scalar(polled, {"since": since})) and not change_queue.pending_streams(session)

    processes.wait_until(done, "everything is polled and evaluated", MAX_SECONDS, pause_seconds=0.02)
