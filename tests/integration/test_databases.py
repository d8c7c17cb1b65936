"""The databases that tests run on: each test finds the template as it was, whatever the one before has done."""

from contextlib import closing
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class whose name is in lower case
from psycopg2.extensions import parse_dsn

from scripts.local.postgres import Postgres
from tests.conftest import TEMPLATE
from tests.kits.databases import TABLES, Databases
from tests.kits.engines import sessions

COLUMNS = (
    "SELECT attrelid::regclass::text, attname, attnotnull, relacl::text"
    " FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relkind = 'r' ORDER BY 1, attnum"
)
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg_%' ORDER BY 1"


def run(url: str, *statements: str) -> list[list[tuple[Any, ...]]]:
    """Run statements; return the rows of each."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        answers = []
        for statement in statements:
            cursor.execute(statement)
            answers.append(cursor.fetchall() if cursor.description else [])
        return answers


def describe(url: str) -> list[list[tuple[Any, ...]]]:
    """Read all that a database holds."""
    [tables] = run(url, TABLES)
    return run(url, COLUMNS, SEQUENCES, SCHEMAS, *(f"SELECT * FROM {table}" for (table,) in tables))


@pytest.fixture(scope="module")
def databases(postgres: Postgres) -> Databases:
    """Databases apart from those of the other tests."""
    return Databases(postgres, TEMPLATE, prefix="lent")


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO accounts (sid, started_at) VALUES ('AC1', now())",
        "UPDATE rule_sets SET version = 7",
        "DELETE FROM rule_sets; DELETE FROM alembic_version",
        "DROP TABLE attempts",
        "CREATE TABLE more (id integer)",
        "ALTER TABLE accounts ALTER sid DROP NOT NULL",
        "REVOKE ALL ON accounts FROM CURRENT_USER",
        "CREATE SCHEMA other",
    ],
)
def test_every_test_finds_the_template_whatever_the_one_before_has_done(databases: Databases, change: str) -> None:
    with databases.lend() as first:
        fresh = describe(first)
        run(first, change)
        assert describe(first) != fresh
    with databases.lend() as second:
        assert describe(second) == fresh


def test_a_database_that_is_lent_while_another_is_out_is_emptied_by_its_own_counts(databases: Databases) -> None:
    change = "INSERT INTO accounts (sid, started_at) VALUES ('AC1', now())"
    with databases.lend() as first:
        run(first, change)
        with databases.lend() as second:
            fresh = describe(second)
            run(second, change)
    for _ in range(2):
        with databases.lend() as again:
            assert again in (first, second), "otherwise the test shows nothing"
            assert describe(again) == fresh


def test_a_process_left_by_an_earlier_test_cannot_connect(databases: Databases) -> None:
    with databases.lend() as first:
        left = psycopg2.connect(first)
        left.cursor().execute("LOCK TABLE accounts")
    with databases.lend() as second, pytest.raises(psycopg2.OperationalError):
        run(second, "SELECT * FROM accounts")
        left.cursor().execute("SELECT 1")
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(first)
    left.close()


STATE = {
    "SET statement_timeout = 7": "SHOW statement_timeout",
    "CREATE TEMPORARY TABLE mine (id integer)": "SELECT to_regclass('mine')",
    "SELECT pg_advisory_lock(7)": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    "PREPARE mine AS SELECT 1": "SELECT count(*) FROM pg_prepared_statements",
    "INSERT INTO accounts (sid, started_at) VALUES ('AC1', now())": "SELECT count(*) FROM accounts",
}
"""What may be left in a session, and how to see it."""


def _ask(connection: Connection, *statements: str) -> list[Any]:
    with connection.cursor() as cursor:
        answers = []
        for statement in statements:
            cursor.execute(statement)
            answers.append(cursor.fetchone())
        return answers


def test_a_session_that_is_kept_is_as_good_as_new(databases: Databases) -> None:
    with databases.lend() as url:
        first = sessions.connect(**parse_dsn(url))
        pid, fresh = first.info.backend_pid, _ask(first, *STATE.values())
        with first.cursor() as cursor:
            for statement in STATE:
                cursor.execute(statement)
        assert not set(fresh) & set(_ask(first, *STATE.values())[:-1]), "otherwise the test shows nothing"
        sessions.close(first)
        second = sessions.connect(**parse_dsn(url))
        assert (second.info.backend_pid, _ask(second, *STATE.values())) == (pid, fresh)
        sessions.close(second)


def test_a_session_that_the_server_ended_is_not_given_out_again(databases: Databases) -> None:
    with databases.lend() as url:
        kept, other = sessions.connect(**parse_dsn(url)), sessions.connect(**parse_dsn(url))
        pid = kept.info.backend_pid
        sessions.close(kept)
        _ask(other, f"SELECT pg_terminate_backend({pid}, 10000)")
        sessions.close(other)
        taken = [sessions.connect(**parse_dsn(url)) for _ in range(2)]
        assert pid not in {connection.info.backend_pid for connection in taken}
        for connection in taken:
            sessions.close(connection)
