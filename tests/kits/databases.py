"""An empty database for each test: it is emptied and lent again, which costs far less than a copy of the template."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
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


class Databases:
    """Lends a database to one test at a time.

    If anything but the test itself is still connected to it in the end, it gets a new name, so that what a test left
    running cannot connect again.
    """

    def __init__(self, postgres: Postgres, template: str, prefix: str = "test") -> None:
        self.postgres, self.template, self.prefix = postgres, template, prefix
        self._numbers = count(1)
        self._idle: str | None = None
        self._state: tuple[Any, ...] = ()
        self._rows: dict[str, str] = {}
        """What the template's tables hold, as COPY writes it; those that are empty are left out."""
        self._inserted: dict[str, int] = {}
        """The rows that were ever inserted into each table when it was last empty."""

    @contextmanager
    def lend(self) -> Iterator[str]:
        """Lend an empty database; what is lent is its address."""
        name, self._idle = self._idle or self._create(), None
        yield self.postgres.url(name)
        self._idle = self._reset(name)
        if self._idle is None:
            sessions.end()
            self.postgres.drop_database(name)

    def _new_name(self) -> str:
        return f"{self.prefix}_{next(self._numbers)}"

    def _create(self) -> str:
        name = self._new_name()
        self.postgres.create_database(name, self.template)
        with self._connect(name) as connection, connection.cursor() as cursor:
            self._state = _state(cursor)
            self._inserted = _inserted(cursor)
            copies = {table: _copy_out(cursor, table) for table in self._inserted}
            self._rows = {table: rows for table, rows in copies.items() if rows}
        return name

    def _reset(self, name: str) -> str | None:
        """Make a database as good as new, and return its name from now on; None where that cannot be."""
        try:
            with self._connect(name) as connection, connection.cursor() as cursor:
                cursor.execute(OTHERS, (sessions.pids(),))
                others = cursor.fetchone()
        except psycopg2.OperationalError:
            return None  # it accepts no connections
        if others:
            name = self._rename(name)
        return name if self._empty(name) else None

    def _rename(self, name: str) -> str:
        """End all sessions of a database and give it a new name."""
        sessions.end()
        new_name = self._new_name()
        with self.postgres.maintenance() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            _wait_until_unused(cursor, name)
            cursor.execute(f'ALTER DATABASE "{name}" RENAME TO "{new_name}"')
        return new_name

    def _empty(self, name: str) -> bool:
        with self._connect(name) as connection, connection.cursor() as cursor:
            if _state(cursor) != self._state:
                return False
            inserted = _inserted(cursor)
            if sum(inserted.values()) > MAX_ROWS:
                return False
            written = {table for table, count in inserted.items() if count != self._inserted[table]}
            # Neither the order of foreign keys nor triggers matter where everything goes.
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("; ".join(f"DELETE FROM {table}" for table in sorted(written | self._rows.keys())))
            for table, rows in self._rows.items():
                cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(rows))
            self._inserted = inserted
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
