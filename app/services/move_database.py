"""Copies everything to another PostgreSQL: one snapshot of this database, in one transaction of the other."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import psycopg2
from pydantic import SecretStr
from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.database import make_engine
from app.errors import Conflict, FieldError, InvalidInput
from app.models import Base
from app.services.logs import partitions
from app.utils.database_errors import explain
from app.utils.redact import mask_url

ROOT = Path(__file__).resolve().parents[2]
STOPPED_FOR = timedelta(seconds=60)
"""A worker or beat that was seen within this time still runs."""
NO_LIMITS = (
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = 0"
)
CHECKED_TABLES = ("accounts", "logs", "rules", "actions", "alerts", "audit_entries", "deliveries")
"""Tables that are empty in a new database."""


def move(url: str, settings: Settings, now: datetime) -> Iterator[str]:
    """Copy everything to the database at this address, and yield lines of progress.

    If it is interrupted or fails, it leaves no rows and can be repeated.

    Raises: Conflict if that is not possible, InvalidInput if the address is invalid.
    """
    other = settings.model_copy(update={"database_url": SecretStr(url)})
    try:
        other.database_parameters  # noqa: B018  # raises if the address is invalid
    except ValueError as error:
        raise InvalidInput([FieldError("url", str(error))]) from None
    source_engine, target_engine = make_engine(settings), make_engine(other)
    try:
        with source_engine.connect() as source:
            # One snapshot for all tables, regardless of concurrent writes.
            source.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            source.exec_driver_sql(NO_LIMITS)
            _refuse_if_running(source, now)
            _make_schema(url)
            with target_engine.begin() as target:
                target.exec_driver_sql(NO_LIMITS)
                yield from _fill(source, target)
    except SQLAlchemyError as error:
        raise Conflict(f"nothing was moved: {explain(error)}") from None
    except psycopg2.Error as error:
        raise Conflict(f"nothing was moved: {error.diag.message_primary or type(error).__name__}") from None
    except KeyboardInterrupt:
        raise Conflict("interrupted: nothing was moved; it can be started again") from None
    finally:
        source_engine.dispose()
        target_engine.dispose()
    yield f"All is there. Set DATABASE_URL to this address ({mask_url(url)}), keep SECRET_KEY and API_KEY, and start."


def _refuse_if_running(source: Connection, now: datetime) -> None:
    query = "SELECT name FROM heartbeats WHERE name IN ('beat', 'worker') AND seen_at > :at ORDER BY name"
    if running := source.execute(text(query), {"at": now - STOPPED_FOR}).scalars().all():
        wait = f"wait {STOPPED_FOR.total_seconds():.0f} seconds"
        raise Conflict(f"{' and '.join(running)} still ran a moment ago: stop all processes, {wait}, then move")


def _make_schema(url: str) -> None:
    """Run the migrations there. Alembic reads the address from the environment."""
    environment = {name: value for name, value in os.environ.items() if name.upper() != "DATABASE_URL_FILE"}
    done = subprocess.run(  # our own interpreter
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env=environment | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["alembic failed"])[-1]
        raise Conflict(f"the schema cannot be made there: {reason.removeprefix('giftpulse: ')}")


def _fill(source: Connection, target: Connection) -> Iterator[str]:
    _refuse_if_unfit(source, target)
    partitions.create(target, partitions.list_months(source))
    tables = Base.metadata.sorted_tables
    target.exec_driver_sql(f"TRUNCATE {', '.join(table.name for table in tables)}")
    for table in tables:
        if count := _copy(source, target, table):
            yield f"{table.name}: {count:,} rows"
    _set_sequences(source, target)


def _refuse_if_unfit(source: Connection, target: Connection) -> None:
    revisions = [each.scalar(text("SELECT version_num FROM alembic_version")) for each in (source, target)]
    if revisions[0] != revisions[1]:
        raise Conflict(
            f"this database has the schema {revisions[0]}, not {revisions[1]}: run alembic upgrade head first"
        )
    for name in CHECKED_TABLES:
        if target.scalar(text(f"SELECT EXISTS (SELECT FROM {name})")):
            raise Conflict(f"the other database is not empty: its table {name} has rows")


def _copy(source: Connection, target: Connection, table: Table) -> int:
    """Copy a table through a pipe, so that it need not fit into memory; return the number of its rows."""
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    reading, writing = os.pipe()
    with ThreadPoolExecutor(1) as pool, os.fdopen(reading, "rb") as reader, _cursor(target) as into:
        sent = pool.submit(
            _send, source, f"COPY (SELECT {columns} FROM {table.name}) TO STDOUT (FORMAT binary)", writing
        )
        pipe = _Pipe(reader)
        try:
            into.copy_expert(f"COPY {table.name} ({columns}) FROM STDIN (FORMAT binary)", pipe)
        except psycopg2.Error:
            if pipe.is_interrupted:
                raise KeyboardInterrupt from None
            raise
        finally:
            reader.close()
            wait([sent])
        count = sent.result()
        if into.rowcount != count:
            raise Conflict(f"of {count} rows of {table.name} {into.rowcount} arrived: nothing was moved")
    return count


class _Pipe:
    """The reading end of a pipe. The driver forgets why a read failed; this remembers that somebody pressed Ctrl-C."""

    def __init__(self, reader: BinaryIO) -> None:
        self._reader = reader
        self.is_interrupted = False

    def read(self, size: int) -> bytes:
        try:
            return self._reader.read(size)
        except KeyboardInterrupt:
            self.is_interrupted = True
            raise


def _send(source: Connection, statement: str, writing: int) -> int:
    with os.fdopen(writing, "wb") as writer, _cursor(source) as cursor:
        cursor.copy_expert(statement, writer)
        count: int = cursor.rowcount
        return count


def _cursor(connection: Connection) -> Any:
    """Open the driver's cursor, which closes itself."""
    return connection.connection.cursor()


def _set_sequences(source: Connection, target: Connection) -> None:
    """Let new rows continue with the following numbers."""
    query = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema()"
    values = [{"name": name, "at": at} for name, at in source.execute(text(query)) if at is not None]
    if values:
        target.execute(text("SELECT setval(CAST(quote_ident(:name) AS regclass), :at)"), values)
