"""Connections to the database: what the address says holds, and nothing is left on them for somebody else."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.database import LIMITS, get_engine, make_engine, session_scope
from scripts.local.postgres import Postgres
from scripts.local.processes import free_port
from tests.conftest import forget, migrate
from tests.kits.engines import sessions
from tests.kits.pgbouncer import PgBouncer
from tests.kits.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parent.parent.parent
Configure = Callable[[str], None]


@pytest.fixture
def configure(environment: pytest.MonkeyPatch) -> Configure:
    """Set DATABASE_URL."""

    def set_url(url: str) -> None:
        environment.setenv("DATABASE_URL", url)
        forget()

    return set_url


def _shown(*names: str) -> dict[str, str]:
    with session_scope() as session:
        return {name: str(session.scalar(text(f"SHOW {name}"))) for name in names}


def _ask(url: str, *statements: str) -> object:
    """Do something by the bare driver; return the first value of the last answer."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None


def test_every_transaction_has_its_limits(database: str) -> None:
    shown = {"application_name": "giftpulse", "timezone": "UTC", "statement_timeout": "30s", "lock_timeout": "10s"}
    for _ in range(2):
        assert _shown(*shown) == shown
    with get_engine().connect() as connection:
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "2min"


def test_a_connection_keeps_no_state_between_transactions(database: str) -> None:
    with get_engine().connect() as connection:
        driver = connection.connection.driver_connection
        connection.exec_driver_sql("SELECT 1")
        connection.rollback()
        assert driver is not None
        driver.autocommit = True
        with driver.cursor() as cursor:
            cursor.execute(
                "SELECT name FROM pg_settings WHERE name = ANY(%s) AND source IN ('session', 'client')", [[*LIMITS]]
            )
            assert cursor.fetchall() == []
        driver.autocommit = False


def test_limits_that_the_address_sets_hold(database: str, configure: Configure) -> None:
    options = quote("-c statement_timeout=45000 --lock-timeout=3s")
    configure(f"{database}?options={options}&application_name=mine")
    shown = {"statement_timeout": "45s", "lock_timeout": "3s", "application_name": "mine", "timezone": "UTC"}
    assert _shown(*shown) == shown


def test_alembic_and_the_product_use_the_schema_that_the_address_names(
    postgres: Postgres, environment: pytest.MonkeyPatch
) -> None:
    postgres.create_database("test_search_path")
    try:
        url = postgres.url("test_search_path")
        _ask(url, "CREATE SCHEMA mine")
        url += "?options=-csearch_path%3Dmine"
        migrate(url)
        environment.setenv("DATABASE_URL", url)
        forget()
        with session_scope() as session:
            schemas = session.scalars(
                text("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('logs', 'rules')")
            ).all()
            assert schemas == ["mine"]
            assert session.scalar(text("SELECT count(*) FROM rule_sets")) == 1
    finally:
        forget()
        postgres.drop_database("test_search_path")


def test_of_several_hosts_the_first_that_answers_is_used(
    database: str, postgres: Postgres, configure: Configure
) -> None:
    configure(database.replace(f":{postgres.port}/", f":{free_port()},127.0.0.1:{postgres.port}/"))
    assert _shown("transaction_isolation") == {"transaction_isolation": "read committed"}
    with make_engine().connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM rule_sets").scalar() == 1


@pytest.mark.parametrize("default", ["repeatable read", "serializable", "read uncommitted"])
def test_transactions_are_read_committed_whatever_the_default(
    database: str, configure: Configure, default: str
) -> None:
    name = database.rpartition("/")[2]
    _ask(database, f"ALTER DATABASE {name} SET default_transaction_isolation = '{default}'")
    configure(database)
    sessions.end()  # those of earlier tests have the old default
    assert _ask(database, "SHOW transaction_isolation") == default
    assert _shown("transaction_isolation") == {"transaction_isolation": "read committed"}
    engine = make_engine()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
    engine.dispose()


def test_a_server_that_can_only_be_read_is_left(database: str) -> None:
    with pytest.raises(DBAPIError) as caught, session_scope() as session:
        session.execute(text("SET TRANSACTION READ ONLY"))
        session.execute(text("DELETE FROM heartbeats"))
    assert caught.value.connection_invalidated
    assert _shown("transaction_read_only") == {"transaction_read_only": "off"}


def test_a_pooler_finds_nothing_of_a_transaction_on_its_connections(pooled: str) -> None:
    shown = {"statement_timeout": "30s", "timezone": "UTC", "transaction_isolation": "read committed"}
    assert _shown(*shown) == shown
    with closing(psycopg2.connect(pooled)) as somebody, somebody.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE source = 'session'")
        assert cursor.fetchall() == []
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert cursor.fetchone() == (0,)


def test_migrations_leave_no_lock_with_a_pooler(postgres: Postgres, pgbouncer: PgBouncer) -> None:
    postgres.create_database("test_pooled_migrations")
    try:
        environment = {"PATH": os.environ["PATH"], "DATABASE_URL": pgbouncer.url("test_pooled_migrations")}
        command = [sys.executable, "-m", "alembic", "upgrade", "head"]
        for number in (3, 1, 1, 1):
            racers = [
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                for _ in range(number)
            ]
            said = [racer.communicate(timeout=PATIENCE_SECONDS)[0].decode() for racer in racers]
            assert [racer.returncode for racer in racers] == [0] * number, said
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        held += "(SELECT oid FROM pg_database WHERE datname = 'test_pooled_migrations')"
        assert _ask(postgres.url("postgres"), held) == 0
    finally:
        postgres.drop_database("test_pooled_migrations")
