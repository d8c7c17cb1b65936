"""The engine and the session. `session_scope` has the product's only commit."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from functools import lru_cache
from typing import Any

from psycopg2.errorcodes import READ_ONLY_SQL_TRANSACTION
from psycopg2.errors import QueryCanceled
from psycopg2.extras import register_uuid
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.config import Settings, get_settings
from app.errors import StatementTimeout
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


class AdvisoryLock(IntEnum):
    """The keys of advisory locks: arbitrary, but no two are equal. A transaction releases its locks when it ends.

    docs/adr/0017-one-order-of-locks.md says in which order they are taken.
    """

    MIGRATION = 4_715_620_731
    """One process migrates; the others wait, then find nothing to do."""
    PARTITIONS = 4_715_620_732
    """One process creates partitions at a time."""
    TALLIES = 4_715_620_733
    """One process tallies; the others do not wait."""
    RULE_SET = 4_715_620_734
    """Shared by evaluations, exclusive for edits of rules. Unlike a row lock it is a fair queue: later evaluations wait
    behind an edit."""
    WARM_UP = 4_715_620_735
    """One process warms up new rules; the others wait."""
    IMPORT = 4_715_620_741
    """One document is applied at a time."""
    NOTICES = 4_715_620_763
    """One transaction creates deliveries at a time."""


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
def limit_statements(session: Session, seconds: float, *, restore: bool = True) -> Iterator[None]:
    """Limit the time of each statement until the block ends.

    Args:    restore: whether to set the earlier limit again. Without, this one holds until the transaction ends, which
             costs one statement instead of three.
    Raises:  StatementTimeout when a statement takes longer; the transaction can then only be rolled back.
    """
    before = session.scalar(text("SELECT current_setting('statement_timeout')")) if restore else None
    session.execute(text(f"SET LOCAL statement_timeout = {max(1, int(1000 * seconds))}"))
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.orig, QueryCanceled):
            raise
        raise StatementTimeout(f"a statement takes longer than {seconds} seconds") from None
    if restore:
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
    """Run one transaction, with retries for a few seconds while the database is unavailable."""
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
