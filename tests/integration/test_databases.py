"""The databases that tests run on: each test finds the template as it was, whatever the one before has done."""

from contextlib import closing
from typing import Any

import psycopg2
import pytest

from scripts.local.postgres import Postgres
from tests.conftest import TEMPLATE
from tests.kits.databases import TABLES, Databases

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
        assert second != first
        assert describe(second) == fresh


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
