"""An empty database for each test: it is emptied and lent again, which costs far less than a copy of the template."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812  # a class whose name is in lower case
from psycopg2.extensions import parse_dsn
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.models import Base
from scripts.local.postgres import Postgres
from tests.kits.engines import sessions
from tests.kits.waiting import wait_until

MAX_ROWS = 100_000
"""A database into which more were ever inserted is replaced: deleted rows still take space in its files."""
MOMENTS = 20
"""How often a database is looked at, a millisecond apart, before what is connected to it counts as left over."""
OTHERS = (
    "SELECT true FROM pg_database, pg_stat_get_backend_idset() AS session"
    " WHERE datname = current_database() AND pg_stat_get_backend_dbid(session) = oid"
    " AND pg_stat_get_backend_pid(session) <> ALL (pg_backend_pid() || %s::integer[]) LIMIT 1"
)
"""Whether any session is connected but this one and those with the given processes; what `pg_stat_activity` adds to
this takes longer than all else that is asked about a database.
"""

_CATALOGS = "pg_namespace pg_class pg_attribute pg_attrdef pg_constraint pg_trigger pg_proc pg_type"
_WRITTEN = "pg_stat_get_tuples_inserted(oid) + pg_stat_get_tuples_updated(oid) + pg_stat_get_tuples_deleted(oid)"
_SCHEMA = f"SELECT sum({_WRITTEN}) FROM pg_class WHERE oid = ANY(string_to_array('{_CATALOGS}', ' ')::regclass[])"
"""A change of the schema or of its privileges writes a row of one of these catalogs, and so changes the answer."""
STATE = (
    f"SELECT ({_SCHEMA}), datacl::text, datallowconn, datconnlimit,"
    " EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = pg_database.oid),"
    " pg_stat_get_bgwriter_stat_reset_time()"
    " FROM pg_database WHERE datname = current_database()"
)
"""All but the rows, so that what a test changed there is noticed. After a crash the server counts from nothing, so that
its counts say nothing of what was written before.
"""
TABLES = (
    "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
)
INSERTED = "SELECT name, pg_stat_get_tuples_inserted(name::regclass) FROM unnest(%s) AS name"
"""How many rows were ever inserted into each of these tables; what an ended session did is in it."""
RESTART = (
    "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"
    " WHERE pg_sequence_last_value(seqrelid) IS NOT NULL"
)
"""Let every sequence that was used begin again."""


@dataclass
class _Database:
    """A database that is lent, and how it was when it was last empty."""

    name: str
    state: tuple[Any, ...] | None
    rows: dict[str, str]
    """What the template's tables hold, as JSON; those that are empty are left out."""
    inserted: dict[str, int]
    """How many rows were ever inserted into each table."""


class Databases:
    """Lends databases, each to one test or module at a time.

    If anything but the test itself is still connected to it in the end, it gets a new name, so that what a test left
    running cannot connect again.
    """

    def __init__(self, postgres: Postgres, template: str, prefix: str = "test") -> None:
        self.postgres, self.template, self.prefix = postgres, template, prefix
        self._numbers = count(1)
        self._idle: list[_Database] = []

    @contextmanager
    def lend(self) -> Iterator[str]:
        """Lend an empty database; what is lent is its address."""
        database = self._idle.pop() if self._idle else self._create()
        yield self.postgres.url(database.name)
        if self._reset(database):
            self._idle.append(database)
        else:
            sessions.end()
            self.postgres.drop_database(database.name)

    def _new_name(self) -> str:
        return f"{self.prefix}_{next(self._numbers)}"

    def _create(self) -> _Database:
        name = self._new_name()
        self.postgres.create_database(name, self.template)
        with self._cursor(name) as cursor:
            cursor.execute(TABLES)
            tables = [table for (table,) in cursor.fetchall()]
            rows = {table: held for table in tables if (held := _rows(cursor, table))}
            return _Database(name, _state(cursor), rows, _inserted(cursor, tables))

    def _reset(self, database: _Database) -> bool:
        """Make a database as good as new; false where that cannot be."""
        try:
            with self._cursor(database.name) as cursor:
                if _is_unused(cursor):
                    return _empty(cursor, database)
        except psycopg2.OperationalError:
            return False  # it accepts no connections
        self._rename(database)
        with self._cursor(database.name) as cursor:
            return _empty(cursor, database)

    def _rename(self, database: _Database) -> None:
        """End all sessions of a database and give it a new name."""
        sessions.end()
        old, database.name = database.name, self._new_name()
        with self.postgres.maintenance() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (old,))
            _wait_until_unused(cursor, old)
            cursor.execute(f'ALTER DATABASE "{old}" RENAME TO "{database.name}"')

    @contextmanager
    def _cursor(self, name: str) -> Iterator[Cursor]:
        """Connect to a database; each statement is a transaction."""
        parameters = parse_dsn(self.postgres.url(name))
        sessions.databases.add((parameters["port"], name))
        connection = sessions.connect(**parameters)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            sessions.close(connection)


def _is_unused(cursor: Cursor) -> bool:
    """Whether no other session is connected. One that the test has just closed is given a moment to end."""
    for _ in range(MOMENTS):
        cursor.execute(OTHERS, (sessions.pids(),))
        if cursor.fetchone() is None:
            return True
        time.sleep(0.001)
    return False


def _empty(cursor: Cursor, database: _Database) -> bool:
    """Bring the rows and sequences back to those of the template; false where that cannot be, or takes too long."""
    if _state(cursor) != database.state:
        return False
    inserted = _inserted(cursor, database.inserted)
    if sum(inserted.values()) > MAX_ROWS:
        return False
    written = {table for table, count in inserted.items() if count != database.inserted[table]}
    statements = [
        # Neither the order of foreign keys nor triggers matter where everything goes.
        "SET session_replication_role = replica",
        *(f"DELETE FROM {table}" for table in sorted(written | database.rows.keys())),
        *(f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s)" for table in database.rows),
        RESTART,
    ]
    cursor.execute("; ".join(statements), tuple(database.rows.values()))
    database.inserted = inserted
    return True


def _wait_until_unused(cursor: Cursor, name: str) -> None:
    """Wait until the last session of a database has ended; PostgreSQL itself would look every 100 ms only."""

    def is_unused() -> bool:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,))
        return cursor.fetchone() == (0,)

    wait_until(is_unused, "nobody uses the database", pause_seconds=0.001)


def _state(cursor: Cursor) -> tuple[Any, ...] | None:
    cursor.execute(STATE)
    return cursor.fetchone()


def _inserted(cursor: Cursor, tables: Iterable[str]) -> dict[str, int]:
    cursor.execute(INSERTED, (list(tables),))
    return dict(cursor.fetchall())


def _rows(cursor: Cursor, table: str) -> str | None:
    cursor.execute(f"SELECT json_agg(held)::text FROM {table} AS held")
    held: str | None = cursor.fetchall()[0][0]
    return held


def delete_all(session: Session) -> None:
    """Delete every row that did not come with the schema, so that a test's next example begins from nothing."""
    session.execute(text("SET LOCAL session_replication_role = replica"))
    session.execute(text("; ".join(f"DELETE FROM {name}" for name in Base.metadata.tables if name != "rule_sets")))
    session.execute(text("SET LOCAL session_replication_role = DEFAULT"))
