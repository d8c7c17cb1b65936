"""A database server that hangs holds up nobody for ever: it is told from one that is slow, and its lines are cut."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from io import StringIO

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.database import session_scope
from app.models import Heartbeat
from app.utils import watchdog
from app.utils.clock import utc_now
from scripts.local.postgres import Postgres
from scripts.local.processes import free_port
from tests.conftest import API_KEY
from tests.integration.api.conftest import make_app
from tests.integration.api.serving import serving
from tests.kits.frozen import frozen
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

THREADS = 16
"""As many requests as the API works at once."""
KEY = {"X-API-Key": API_KEY}


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for longer than it takes to see that the server hangs."""
    monkeypatch.setattr(watchdog, "CHECK_INTERVAL_SECONDS", 0.1)


@contextmanager
def _asked_all_the_time(address: str, path: str, callers: int) -> Iterator[list[int]]:
    """Ask for a path by so many callers at once, in the midst of whatever happens; the answer is their statuses."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            statuses.append(client.get(address + path).status_code)

    with (
        httpx.Client(headers=KEY, timeout=PATIENCE_SECONDS, trust_env=False) as client,
        ThreadPoolExecutor(callers) as pool,
    ):
        asking = [pool.submit(ask) for _ in range(callers)]
        try:
            yield statuses
        finally:
            over.set()
            for each in asking:
                each.result()


def test_requests_are_refused_while_the_database_hangs_and_answered_after_it(postgres: Postgres, database: str) -> None:
    with ExitStack() as stack:
        address = stack.enter_context(serving(make_app()))
        client = stack.enter_context(httpx.Client(headers=KEY, timeout=PATIENCE_SECONDS, trust_env=False))
        with _asked_all_the_time(address, "/api/alerts", 2 * THREADS) as statuses:
            wait_until(lambda: statuses.count(200) > 100, "the API answers many at once")
            with frozen(postgres.process):
                wait_until(lambda: 503 in statuses, "requests under way end")
                threads = threading.active_count()
                refused = client.get(f"{address}/api/rules")
                assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
                assert int(refused.headers["retry-after"]) > 0
                assert client.get(f"{address}/api/health/live").status_code == 200
                health = client.get(f"{address}/api/health")
                assert (health.status_code, health.json()["checks"]["database"]["status"]) == (503, "down")
                before = len(statuses)
                wait_until(lambda: len(statuses) > before + 4 * THREADS, "callers wait for nothing")
                assert threading.active_count() <= threads
            wait_until(lambda: client.get(f"{address}/api/rules").status_code == 200, "the API answers")
            wait_until(lambda: statuses[-1] == 200, "everybody is answered")
    assert set(statuses) == {200, 503}


def test_every_wait_of_a_worker_ends_when_the_database_hangs(postgres: Postgres, database: str) -> None:
    with session_scope() as session:
        session.execute(text("CREATE TABLE waits (line text)"))

    def copy(session: Session) -> None:
        cursor = session.connection().connection.cursor()
        cursor.copy_expert("COPY waits FROM STDIN", StringIO("a line\n" * 10_000_000))

    waits: tuple[Callable[[Session], object], ...] = (Session.flush, Session.commit, copy)
    begun = threading.Barrier(len(waits) + 1)
    stands = threading.Event()

    def wait(on: Callable[[Session], object]) -> None:
        with session_scope() as session:
            session.execute(text("INSERT INTO waits VALUES ('one')"))
            session.add(Heartbeat(name=on.__name__, seen_at=utc_now()))
            begun.wait()
            stands.wait()
            on(session)

    with ThreadPoolExecutor(len(waits)) as pool:
        waiting = [pool.submit(wait, on) for on in waits]
        begun.wait()
        with frozen(postgres.process):
            stands.set()
            for each in waiting:
                assert isinstance(each.exception(PATIENCE_SECONDS), DBAPIError)
    wait_until(_answers, "the database is used again")
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM waits")) in (0, 1), "a commit that was under way may be done"


def _answers() -> bool:
    try:
        with session_scope() as session:
            return bool(session.scalar(text("SELECT true")))
    except DBAPIError:
        return False


def test_a_slow_statement_is_not_cancelled(database: str) -> None:
    with session_scope() as session:
        assert session.scalar(text("SELECT 7 FROM pg_sleep(2)")) == 7


def test_a_server_whose_greeting_times_out_a_little_early_hangs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        parameters = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        watching = watchdog.Watchdog(create_engine("postgresql+psycopg2://"), parameters)
        monkeypatch.setattr(watchdog, "GREETING_TIMEOUT_SECONDS", watchdog.GREETING_TIMEOUT_SECONDS + 0.1)
        assert not watching._server_answers()


def test_a_server_that_refuses_does_not_hang() -> None:
    parameters = {"host": "127.0.0.1", "port": free_port()}
    assert watchdog.Watchdog(create_engine("postgresql+psycopg2://"), parameters)._server_answers()
