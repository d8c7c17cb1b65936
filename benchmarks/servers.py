"""The servers of a benchmark: a PostgreSQL as one machine would run it, and the simulator as a process."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.config import get_settings
from app.database import get_engine
from scripts.local.postgres import Postgres
from scripts.local.processes import LOOPBACK, free_port, wait_until
from scripts.local.valkey import Valkey
from scripts.twilio_simulator import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN

ROOT = Path(__file__).parent.parent
DURABLE = {"shared_buffers": "1GB", "max_wal_size": "8GB", "max_connections": "100"}
"""What is committed survives the machine, as in production."""


@contextmanager
def databases() -> Iterator[tuple[Postgres, Valkey]]:
    with tempfile.TemporaryDirectory(prefix="giftpulse-benchmark-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        postgres, valkey = Postgres(Path(name) / "postgres", settings=DURABLE), Valkey(Path(name) / "valkey")
        try:
            postgres.start()
            valkey.start()
            yield postgres, valkey
        finally:
            valkey.stop()
            postgres.stop()


@contextmanager
def simulator() -> Iterator[httpx.Client]:
    """Start an empty simulator; the answer is a client for its controls, whose `base_url` is the simulator's."""
    port = free_port()
    command = [sys.executable, "-m", "scripts.twilio_simulator", "--port", str(port), "--no-traffic"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            client.get("/")
        except httpx.TransportError:
            return False
        return True

    with httpx.Client(base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=300) as client:
        try:
            wait_until(answers, "the simulator answers")
            yield client
        finally:
            process.terminate()
            process.wait()


def settle_environment(database_url: str, broker_url: str, twilio_url: str) -> None:
    """Point the product at these servers, with an empty database of the present schema."""
    os.environ |= {
        "DATABASE_URL": database_url,
        "REDIS_URL": broker_url,
        "API_KEY": "key-of-the-administrator",
        "SECRET_KEY": "secret-that-encrypts-things",
        "TWILIO_ACCOUNT_SID": DEMO_ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": DEMO_AUTH_TOKEN,
        "TWILIO_API_BASE_URL": twilio_url,
        "TWILIO_MONITOR_BASE_URL": twilio_url,
        "TWILIO_MAX_REQUESTS_PER_MINUTE": "100000",
        "LOG_LEVEL": "ERROR",
    }
    get_settings.cache_clear()
    get_engine.cache_clear()
    subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], cwd=ROOT, check=True)
