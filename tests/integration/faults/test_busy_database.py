"""A database that is busy: transactions that lock in opposite order, a pool that is used up, lines lost at a COMMIT."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.bulk import update_rows
from app.config import get_settings
from app.database import AdvisoryLock, get_engine, session_scope, write_with_retry
from app.services import rule_admin
from app.utils import db_retry
from app.utils.clock import utc_now
from app.utils.db_retry import retry_on_conflict
from tests.conftest import API_KEY
from tests.integration.api.conftest import RULE, make_app
from tests.integration.api.serving import serving
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

KEY = {"X-API-Key": API_KEY}
LOCK_SET = f"SELECT pg_advisory_xact_lock({AdvisoryLock.RULE_SET})"


@pytest.fixture
def rule(database: str) -> str:
    with session_scope() as session:
        return str(rule_admin.create(session, RULE, get_settings(), utc_now()).id)


def _lock(rule: str) -> str:
    return f"SELECT id FROM rules WHERE id = '{rule}' FOR UPDATE"


def _entangle(url: str, work: Callable[[], Any], *locks: str) -> Any:
    """Let work meet somebody who takes its locks in opposite order, and wins."""
    opponent = psycopg2.connect(url)
    try:
        cursor = opponent.cursor()
        cursor.execute("SET deadlock_timeout = '1min'")
        cursor.execute(locks[0])
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            wait_until(_somebody_waits, "the work waits for the opponent")
            cursor.execute(locks[1])
            opponent.commit()
            return working.result(PATIENCE_SECONDS)
    finally:
        opponent.close()


def _somebody_waits() -> bool:
    with session_scope() as session:
        waiting = "SELECT true FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(session.scalar(text(waiting)))


def test_a_request_that_hit_a_conflict_is_handled_again(database: str, rule: str) -> None:
    with serving(make_app()) as address:
        path = f"{address}/api/rules/{rule}"

        def edit() -> httpx.Response:
            return httpx.patch(path, json={"name": "Other"}, headers=KEY, timeout=PATIENCE_SECONDS)

        answer = _entangle(database, edit, LOCK_SET, _lock(rule))
    assert (answer.status_code, answer.json()["name"]) == (200, "Other")
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM audit_entries WHERE action = 'rule.update'")) == 1


def test_work_that_hit_a_conflict_is_done_again(database: str, rule: str) -> None:
    tries = []

    def work() -> None:
        tries.append(1)
        with session_scope() as session:
            session.execute(text(LOCK_SET))
            update_rows(session, "rules", {"id": "uuid"}, {"name": "text"}, [(rule, "Other")])

    _entangle(database, lambda: retry_on_conflict(work), _lock(rule), LOCK_SET)
    assert len(tries) == 2


def test_work_that_always_hits_conflicts_is_given_up(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_retry, "CONFLICT_WAITS_SECONDS", (0, 0, 0))
    tries = []

    def work() -> None:
        tries.append(1)
        with session_scope() as session:
            session.execute(text("DO $$BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END$$"))

    with pytest.raises(DBAPIError):
        retry_on_conflict(work)
    assert len(tries) == 4


def test_a_pool_that_is_used_up_refuses_and_recovers(database: str) -> None:
    engine = get_engine()
    engine.pool._timeout = 0.2  # type: ignore[attr-defined]  # how long a request waits
    with serving(make_app()) as address:
        with ExitStack() as stack:
            for _ in range(16):
                stack.enter_context(engine.connect())
            refused = httpx.get(f"{address}/api/rules", headers=KEY, timeout=PATIENCE_SECONDS)
            assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
            assert int(refused.headers["retry-after"]) > 0
            assert httpx.get(f"{address}/api/health/live", timeout=PATIENCE_SECONDS).status_code == 200
        assert httpx.get(f"{address}/api/rules", headers=KEY, timeout=PATIENCE_SECONDS).status_code == 200


def test_an_outcome_is_written_once_the_database_is_back(database: str) -> None:
    lost = iter(["once", "twice"])

    def write(session: Any) -> None:
        session.execute(text("INSERT INTO heartbeats VALUES ('worker', now())"))
        if next(lost, None):
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    write_with_retry(write)
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM heartbeats")) == 1
