"""The engine and the session. `session_scope` has the product's only commit and rollback."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from io import StringIO
from types import NoneType
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2.errorcodes import READ_ONLY_SQL_TRANSACTION
from psycopg2.errors import QueryCanceled
from psycopg2.extras import execute_values, register_uuid
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from app.config import Settings, get_settings
from app.errors import TookTooLong
from app.utils.clock import database_clock
from app.utils.db_retry import OUTAGE_WAITS_SECONDS, is_transient
from app.utils.watchdog import Watchdog

register_uuid()  # type: ignore[no-untyped-call]  # the stubs leave it without types

LIMITS: Mapping[str, str] = {
    "application_name": "giftpulse",
    "timezone": "UTC",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "120s",
}
"""Set at the start of every transaction. Statements, lock waits and idle transactions have a time limit, so that a
stuck process cannot block others.

Connections have no state of their own: poolers reject start-up parameters and reassign connections after each
transaction.
"""
PARAMETERS: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""Client-side connection parameters; those in `DATABASE_URL` take precedence."""


@lru_cache
def get_engine() -> Engine:
    """Return this process's engine, created at first use: a forked worker must not share its parent's connections."""
    engine = make_engine(pool_size=10, max_overflow=6, pool_timeout=5, pool_pre_ping=True, pool_recycle=1800)
    begin = set_local(_limits(get_settings().database_parameters))

    @event.listens_for(engine, "begin")
    def set_limits(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    Watchdog(engine, _parameters(get_settings()))
    return engine


def make_engine(settings: Settings | None = None, **options: Any) -> Engine:
    """Create an engine. libpq parses `DATABASE_URL`: SQLAlchemy would parse it differently.

    Args:    settings: those of another database; default: the settings of this process.
    """
    engine = create_engine(
        "postgresql+psycopg2://",
        connect_args=_parameters(settings or get_settings()),
        # Part of each BEGIN, so that the defaults of server, database and role do not matter.
        isolation_level="READ COMMITTED",
        # No column is one; every new connection would look for the type.
        use_native_hstore=False,
        # Values are personal numbers and messages, and must not be logged.
        hide_parameters=True,
        **options,
    )
    event.listen(engine, "handle_error", _leave_standby)
    return engine


def set_local(values: Mapping[str, str]) -> str:
    """Build the statements that set these parameters until the transaction ends."""
    return "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in values.items())


def _parameters(settings: Settings) -> dict[str, Any]:
    given = settings.database_parameters
    # With several servers, use the writable one.
    several = {"target_session_attrs": "read-write"} if "," in given.get("host", "") else {}
    return {**PARAMETERS, **several, **given}


def _limits(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the limits that the URL does not set."""
    options = re.findall(r"(?:-c\s*|--)([\w-]+)\s*=", parameters.get("options", ""))
    given = {name.replace("-", "_").lower() for name in (*options, *parameters)}
    return {name: value for name, value in LIMITS.items() if name not in given}


def _leave_standby(context: ExceptionContext) -> None:
    """Drop the connections to a server that is no longer writable: another has taken over."""
    if getattr(context.original_exception, "pgcode", None) == READ_ONLY_SQL_TRANSACTION:
        context.is_disconnect = True


@contextmanager
def session_scope() -> Iterator[Session]:
    """Open a session, commit at the end of the block, roll back if it raises."""
    sync_clock()
    session = Session(get_engine(), expire_on_commit=False)
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.close()


@contextmanager
def limit_statements(session: Session, seconds: float) -> Iterator[None]:
    """Limit the time of each statement until the block ends.

    Raises: TookTooLong when a statement takes longer; the transaction can then only be rolled back.
    """
    before = session.scalar(text("SELECT current_setting('statement_timeout')"))
    session.execute(text(f"SET LOCAL statement_timeout = {max(1, int(1000 * seconds))}"))
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.orig, QueryCanceled):
            raise
        raise TookTooLong(f"a statement takes longer than {seconds} seconds") from None
    session.execute(text(f"SET LOCAL statement_timeout = '{before}'"))


def after_commit(session: Session, call: Callable[[], object]) -> None:
    """Run `call` after the commit of the transaction; not after a rollback, nor when a savepoint is released."""
    calls = session.info.setdefault("after_commit", [])
    if not calls:
        event.listen(session, "after_commit", _run_after_commit)
    calls.append(call)


def _run_after_commit(session: Session) -> None:
    if session.in_nested_transaction():
        return  # SQLAlchemy reports the release of a savepoint as a commit, too
    for call in session.info.pop("after_commit", ()):
        call()


def sync_clock() -> None:
    """Set this process's clock from the database, unless that was done recently."""
    if database_clock.is_stale:
        with get_engine().connect() as connection:
            database_clock.set_to(connection.execute(select(func.clock_timestamp())).scalar_one())


def write_with_retry(write: Callable[[Session], object]) -> None:
    """Run one transaction, with retries for some seconds while the database is unavailable."""
    for wait in (*OUTAGE_WAITS_SECONDS, None):
        try:
            with session_scope() as session:
                write(session)
        except Exception as error:
            if wait is None or not is_transient(error):
                raise
            time.sleep(wait)
        else:
            return


def forget_connections() -> None:
    """Drop inherited connections after a fork without closing them for the parent."""
    if get_engine.cache_info().currsize:
        get_engine().dispose(close=False)
        get_engine.cache_clear()


def _escape(value: str) -> str:
    """Escape a text for COPY. Few texts need it, so check first."""
    if "\\" in value or "\n" in value or "\t" in value or "\r" in value:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return value


@lru_cache(maxsize=16_384)
def _write_time(value: datetime) -> str:
    """Format a time for COPY. A log has nine times, most of them equal: caching saves a tenth of the ingest time."""
    return value.isoformat()


_COPY_TEXT: dict[type, Callable[[Any], str]] = {
    NoneType: lambda _: r"\N",
    str: _escape,
    bool: lambda value: "t" if value else "f",
    int: str,
    float: repr,
    Decimal: str,
    datetime: _write_time,
    UUID: str,
    bytes: lambda value: r"\\x" + value.hex(),
}


@contextmanager
def _cursor(session: Session) -> Iterator[Any]:
    """Open the driver's cursor; its errors are raised as SQLAlchemy's."""
    connection = session.connection()
    cursor = connection.connection.cursor()
    try:
        yield cursor
    except psycopg2.Error as error:
        gone = connection.dialect.is_disconnect(error, connection.connection, cursor)  # type: ignore[arg-type]
        if gone:
            connection.invalidate(error)
        raise DBAPIError.instance(
            None, None, error, psycopg2.Error, hide_parameters=True, connection_invalidated=gone
        ) from error
    finally:
        cursor.close()


def fetch_rows(session: Session, query: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
    """Read rows with the driver's cursor, for the few callers that read thousands: rows are plain tuples.

    Args:    query: with values as `%(name)s`.
    """
    with _cursor(session) as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


def copy_rows(session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Insert rows with COPY, the fastest way. Values are in the order of `columns`."""
    lines = ["\t".join([_COPY_TEXT[type(value)](value) for value in row]) for row in rows]
    if not lines:
        return
    with _cursor(session) as cursor:
        cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", StringIO("\n".join(lines) + "\n"))


class Unnest:
    """Rows that a statement takes as a table: one array for each column.

    asked = Unnest("asked", rule_id="uuid", at="timestamptz")
    session.execute(text(f"SELECT ... FROM {asked} JOIN ..."), asked.values(rows))
    """

    def __init__(self, alias: str, **columns: str) -> None:
        """Name the table and its columns.

        Args:    columns: names to SQL types.
        """
        self._names = [f"{alias}_{name}" for name in columns]
        arrays = ", ".join(f"CAST(:{alias}_{name} AS {kind}[])" for name, kind in columns.items())
        self._sql = f"unnest({arrays}) AS {alias} ({', '.join(columns)})"

    def __str__(self) -> str:
        return self._sql

    @property
    def for_driver(self) -> str:
        """The table in a query of `fetch_rows`."""
        return re.sub(r":(\w+)", r"%(\1)s", self._sql)

    def values(self, rows: Iterable[Sequence[object]]) -> dict[str, Sequence[object]]:
        """Return the parameters of the statement; rows have their values in the order of the columns."""
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in self._names]
        return dict(zip(self._names, columns, strict=True))


def update_rows(
    session: Session, table: str, keys: Mapping[str, str], values: Mapping[str, str], rows: Sequence[Sequence[object]]
) -> None:
    """Update many rows with different values in one statement.

    Args:
        keys, values: column names to SQL types; the keys identify the row.
        rows: one item per row, the keys' values first, in the given order.
    """
    if not rows:
        return
    columns = [*keys, *values]
    types = [*keys.values(), *values.values()]
    sql = (
        f"UPDATE {table} SET {', '.join(f'{name} = fresh.{name}' for name in values)}"
        f" FROM (VALUES %s) AS fresh ({', '.join(columns)})"
        f" WHERE {' AND '.join(f'{table}.{name} = fresh.{name}' for name in keys)}"
    )
    template = "(" + ", ".join(f"%s::{kind}" for kind in types) + ")"
    with _cursor(session) as cursor:
        execute_values(cursor, sql, rows, template=template, page_size=len(rows))
