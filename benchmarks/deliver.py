"""Measures deliveries a second through claim, send and record, next to bare requests with the same client.

    python -m benchmarks.deliver            # a receiver that responds immediately, and one that takes 100 milliseconds
    python -m benchmarks.deliver --profile  # where the process spends its time

One process delivers to one receiver in another process; PostgreSQL has fsync on. There are so many actions that their
own limits (two at once, ten a second) do not slow it down.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from alembic import command
from alembic.config import Config
from sqlalchemy import insert, text

from app.actions.base import Rendered
from app.actions.formats import standard
from app.actions.sample import sample_notifications
from app.config import Settings, get_settings
from app.database import get_engine, session_scope
from app.enums import NotificationType
from app.models import Delivery
from app.services.alerts.withholding import withheld
from app.services.outbox import actions, dispatch
from app.services.outbox.rows import delivery_row
from app.utils.clock import utc_now
from app.utils.http import GuardedClient
from benchmarks.ingest.processes import cpu_seconds
from scripts.local import processes
from scripts.local.postgres import Postgres

ROOT = Path(__file__).parent.parent
ACTIONS = 60
EACH = 18
"""Fewer than an action may send at once."""
HEADERS = {"Content-Type": "application/json"}


def main() -> None:
    """Measure, or act as the receiver."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--receive", nargs=2, type=int, metavar=("PORT", "MILLISECONDS"), help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="say where the process spends its time")
    asked = parser.parse_args()
    if asked.receive:
        asyncio.run(receive(*asked.receive))
        return
    with tempfile.TemporaryDirectory(prefix="giftpulse-deliver-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Postgres(folder / "postgres")
        try:
            server.start()
            server.create_database("outbox")
            prepare(server.url("outbox"))
            for milliseconds in (0, 100):
                measure(server, milliseconds, profile=asked.profile)
        finally:
            get_engine().dispose()
            server.stop()


async def receive(port: int, milliseconds: int) -> None:
    """Answer every request with 200."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                await asyncio.sleep(milliseconds / 1000)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, processes.LOOPBACK, port, backlog=1024)
    await server.serve_forever()


def prepare(url: str) -> None:
    """Set this process's settings and create the database's schema."""
    os.environ |= {
        "DATABASE_URL": url,
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "API_KEY": "key-of-the-benchmark",
        "SECRET_KEY": "secret-of-the-benchmark",
        "LOG_LEVEL": "ERROR",
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    command.upgrade(Config(str(ROOT / "alembic.ini")), "head")


@contextmanager
def start_receiver(milliseconds: int) -> Iterator[str]:
    """Start the receiver; yields its URL."""
    port = processes.free_port()
    command = [sys.executable, "-m", "benchmarks.deliver", "--receive", str(port), str(milliseconds)]
    child = subprocess.Popen(command, cwd=ROOT)  # it ends with this run
    try:
        processes.wait_until(lambda: not processes.port_is_free(port), "the receiver listens")
        yield f"http://{processes.LOOPBACK}:{port}/hook"
    finally:
        child.terminate()
        child.wait()


def measure(server: Postgres, milliseconds: int, *, profile: bool) -> None:
    """Send the same bodies with and without the outbox, and print both durations."""
    settings = get_settings()
    body = standard(sample_notifications()[0])
    with start_receiver(milliseconds) as url, asyncio.Runner() as runner:
        fill_outbox(url, body)
        bare = runner.run(send_bare(settings, url, body))
        assert server.process is not None
        before = time.process_time(), cpu_seconds(server.process.pid)
        profiler = cProfile.Profile()
        began = time.monotonic()
        if profile:
            profiler.enable()
        while dispatch.deliver_due(settings, runner, withheld):
            pass
        profiler.disable()
        seconds = time.monotonic() - began
        python, postgres = time.process_time() - before[0], cpu_seconds(server.process.pid) - before[1]
    number = ACTIONS * EACH
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM deliveries WHERE status <> 'succeeded'")) == 0
    print(
        f"{milliseconds} ms: {number / seconds:.0f} a second, bare requests {number / bare:.0f}, ratio"
        f" {bare / seconds:.2f}; ms a delivery: Python {1000 * python / number:.2f},"
        f" PostgreSQL {1000 * postgres / number:.2f}"
    )
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)


def fill_outbox(url: str, body: bytes) -> None:
    """Create the actions and their pending deliveries."""
    now = utc_now()
    with session_scope() as session:
        session.execute(text("TRUNCATE deliveries, attempts, actions CASCADE"))
        for _ in range(ACTIONS):
            action, _ = actions.create(session, {"action_type": "webhook", "config": {"url": url}}, get_settings(), now)
            content = Rendered({"body": body.decode()})
            kind = NotificationType.FIRING
            rows = [delivery_row(action, kind, uuid4(), url, content, now) for _ in range(EACH)]
            session.execute(insert(Delivery), rows)
    with get_engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


async def send_bare(settings: Settings, url: str, body: bytes) -> float:
    """Send as many requests as there are deliveries, with the same concurrency; return the seconds."""
    left = ACTIONS * EACH

    async def work(client: GuardedClient) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await client.request("POST", url, HEADERS, body)

    async with GuardedClient(settings.webhook_allowed_networks, settings.webhook_timeout_seconds) as client:
        began = time.monotonic()
        await asyncio.gather(*(work(client) for _ in range(dispatch.MAX_IN_FLIGHT)))
        return time.monotonic() - began


if __name__ == "__main__":
    main()
