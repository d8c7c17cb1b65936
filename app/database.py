"""The engine and the session: `session_scope` holds the only commit and rollback of the product."""

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
from psycopg2.extras import execute_values, register_uuid
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.config import get_settings
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
"""What every transaction begins with. A statement, a wait for a lock and an idle transaction each have an end, so that
one stuck process cannot hold up the others.

A connection has no state of its own: poolers refuse start-up parameters, and hand a connection to somebody else after
each transaction."""
PARAMETERS: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""How this side of a connection behaves; the parameters of `DATABASE_URL` come first."""


@lru_cache
def get_engine() -> Engine:
    """Return this process's engine, made at first use: a forked worker must not share its parent's connections."""
    engine = make_engine(pool_size=10, max_overflow=6, pool_timeout=5, pool_pre_ping=True, pool_recycle=1800)
    begin = set_local(_limits(get_settings().database_parameters))

    @event.listens_for(engine, "begin")
    def set_limits(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    Watchdog(engine, _parameters())
    return engine


def make_engine(**options: Any) -> Engine:
    """Make an engine for `DATABASE_URL`, which PostgreSQL's own library reads: SQLAlchemy would read it otherwise."""
    engine = create_engine(
        "postgresql+psycopg2://",
        connect_args=_parameters(),
        # The driver says so in each BEGIN, whatever the default of the server, the database or the role is.
        isolation_level="READ COMMITTED",
        # A statement's values are people's numbers and messages: they belong in no log line.
        hide_parameters=True,
        **options,
    )
    event.listen(engine, "handle_error", _leave_standby)
    return engine


def set_local(values: Mapping[str, str]) -> str:
    """Write the statements that set these parameters until the transaction ends."""
    return "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in values.items())


def _parameters() -> dict[str, Any]:
    given = get_settings().database_parameters
    # Of several servers, the one that can be written to.
    several = {"target_session_attrs": "read-write"} if "," in given.get("host", "") else {}
    return {**PARAMETERS, **several, **given}


def _limits(parameters: Mapping[str, str]) -> dict[str, str]:
    """Leave out the limits that the address sets itself."""
    options = re.findall(r"(?:-c\s*|--)([\w-]+)\s*=", parameters.get("options", ""))
    given = {name.replace("-", "_").lower() for name in (*options, *parameters)}
    return {name: value for name, value in LIMITS.items() if name not in given}


def _leave_standby(context: ExceptionContext) -> None:
    """Give up the connections to a server that cannot be written to any more: another has taken over."""
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


def after_commit(session: Session, call: Callable[[], object]) -> None:
    """Do something once the transaction is committed: what is rolled back has not happened."""
    event.listen(session, "after_commit", lambda _: call(), once=True)


def sync_clock() -> None:
    """Set this process's clock by the database's, unless that was done a moment ago."""
    if database_clock.is_stale:
        with get_engine().connect() as connection:
            database_clock.set_to(connection.execute(select(func.clock_timestamp())).scalar_one())


def write_with_retry(write: Callable[[Session], object]) -> None:
    """Do one transaction; where the database is away, again for some seconds."""
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
    """Drop the connections that a fork brought along without closing them under the parent."""
    if get_engine.cache_info().currsize:
        get_engine().dispose(close=False)
        get_engine.cache_clear()


def _escape(value: str) -> str:
    """Write a text for COPY. Few texts need it, so a look comes before the work."""
    if "\\" in value or "\n" in value or "\t" in value or "\r" in value:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return value


@lru_cache(maxsize=16_384)
def _write_time(value: datetime) -> str:
    """Write a time for COPY. A log has nine of them, most the same: remembering them is a tenth of reading Twilio."""
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
    """Open the driver's own cursor; what fails there is told in the words of all other statements."""
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
    """Read rows by the driver's own cursor, for the few places that read thousands: a row is a plain tuple.

    Args:    query: with values as `%(name)s`.
    """
    with _cursor(session) as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


def copy_rows(session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Insert rows by COPY, the fastest way there is. The values are in the order of `columns`."""
    lines = ["\t".join([_COPY_TEXT[type(value)](value) for value in row]) for row in rows]
    if not lines:
        return
    with _cursor(session) as cursor:
        cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", StringIO("\n".join(lines) + "\n"))


def update_rows(
    session: Session, table: str, keys: Mapping[str, str], values: Mapping[str, str], rows: Sequence[Sequence[object]]
) -> None:
    """Update many rows, each to values of its own, in one statement.

    Args:
        keys, values: names of columns to their SQL types; the keys find the row.
        rows: one item a row, the keys' values first, in the order given.
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
