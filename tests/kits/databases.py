"""An empty database for each test: it is emptied and lent again, which costs far less than a copy of the template."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class whose name is in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812  # likewise
from psycopg2.extensions import parse_dsn
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.models import Base
from scripts.local.postgres import Postgres
from tests.kits.engines import sessions
from tests.kits.waiting import wait_until

MAX_ROWS = 100_000
"""A database into which more were ever inserted is replaced: deleted rows still take space in its files."""
OTHERS = (
    "SELECT true FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> ALL (pg_backend_pid() || %s::integer[]) LIMIT 1"
)
"""Whether any session is connected but this one and those with the given processes."""

_CATALOGS = "pg_namespace pg_class pg_attribute pg_attrdef pg_constraint pg_trigger pg_proc pg_type"
_WRITTEN = "pg_stat_get_tuples_inserted(oid) + pg_stat_get_tuples_updated(oid) + pg_stat_get_tuples_deleted(oid)"
SCHEMA_STATE = f"SELECT sum({_WRITTEN}) FROM pg_class WHERE oid = ANY(string_to_array('{_CATALOGS}', ' ')::regclass[])"
"""A change of the schema or of its privileges writes a row of one of these catalogs, and so changes the answer."""
DATABASE_STATE = (
    "SELECT datacl::text, datallowconn, datconnlimit,"
    " EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = pg_database.oid),"
    " pg_stat_get_bgwriter_stat_reset_time()"
    " FROM pg_database WHERE datname = current_database()"
)
"""After a crash the server counts from nothing, so that its counts say nothing of what was written before."""
TABLES = (
    "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
)
INSERTED = (
    "SELECT oid::regclass::text, pg_stat_get_tuples_inserted(oid)"
    " FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
"""How many rows were ever inserted into each table; what an ended session did is in it."""


@dataclass
class _Database:
    """A database that is lent, and how it was when it was last empty."""

    name: str
    state: tuple[Any, ...]
    rows: dict[str, str]
    """What the template's tables hold, as COPY writes it; those that are empty are left out."""
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
        with self._connect(name) as connection, connection.cursor() as cursor:
            state, inserted = _state(cursor), _inserted(cursor)
            copies = {table: _copy_out(cursor, table) for table in inserted}
            return _Database(name, state, {table: rows for table, rows in copies.items() if rows}, inserted)

    def _reset(self, database: _Database) -> bool:
        """Make a database as good as new; false where that cannot be."""
        try:
            with self._connect(database.name) as connection, connection.cursor() as cursor:
                cursor.execute(OTHERS, (sessions.pids(),))
                others = cursor.fetchone()
        except psycopg2.OperationalError:
            return False  # it accepts no connections
        if others:
            self._rename(database)
        return self._empty(database)

    def _rename(self, database: _Database) -> None:
        """End all sessions of a database and give it a new name."""
        sessions.end()
        old, database.name = database.name, self._new_name()
        with self.postgres.maintenance() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (old,))
            _wait_until_unused(cursor, old)
            cursor.execute(f'ALTER DATABASE "{old}" RENAME TO "{database.name}"')

    def _empty(self, database: _Database) -> bool:
        with self._connect(database.name) as connection, connection.cursor() as cursor:
            if _state(cursor) != database.state:
                return False
            inserted = _inserted(cursor)
            if sum(inserted.values()) > MAX_ROWS:
                return False
            written = {table for table, count in inserted.items() if count != database.inserted[table]}
            # Neither the order of foreign keys nor triggers matter where everything goes.
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("; ".join(f"DELETE FROM {table}" for table in sorted(written | database.rows.keys())))
            for table, rows in database.rows.items():
                cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(rows))
            database.inserted = inserted
            cursor.execute("SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence")
            connection.commit()
            return True

    @contextmanager
    def _connect(self, name: str) -> Iterator[Connection]:
        parameters = parse_dsn(self.postgres.url(name))
        sessions.databases.add((parameters["port"], name))
        connection = sessions.connect(**parameters)
        try:
            yield connection
        finally:
            sessions.close(connection)


def _wait_until_unused(cursor: Cursor, name: str) -> None:
    """Wait until the last session of a database has ended; PostgreSQL itself would look every 100 ms only."""

    def is_unused() -> bool:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,))
        return cursor.fetchone() == (0,)

    wait_until(is_unused, "nobody uses the database", pause_seconds=0.001)


def _state(cursor: Cursor) -> tuple[Any, ...]:
    """Describe all but the rows, so that what a test changed there is noticed."""
    cursor.execute(SCHEMA_STATE)
    schema = cursor.fetchone()
    cursor.execute(DATABASE_STATE)
    return (schema, cursor.fetchone())


def _inserted(cursor: Cursor) -> dict[str, int]:
    cursor.execute(INSERTED)
    return dict(cursor.fetchall())


def _copy_out(cursor: Cursor, table: str) -> str:
    rows = io.StringIO()
    cursor.copy_expert(f"COPY {table} TO STDOUT", rows)
    return rows.getvalue()


def delete_all(session: Session) -> None:
    """Delete every row that did not come with the schema, so that a test's next example begins from nothing."""
    session.execute(text("SET LOCAL session_replication_role = replica"))
    session.execute(text("; ".join(f"DELETE FROM {name}" for name in Base.metadata.tables if name != "rule_sets")))
    session.execute(text("SET LOCAL session_replication_role = DEFAULT"))
