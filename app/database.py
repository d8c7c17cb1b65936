"""The engine and the session: `session_scope` holds the only commit and rollback of the product."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from app.config import get_settings

# Times in milliseconds. A statement, a wait for a lock and an idle transaction each have an end,
# so that one stuck process cannot hold up the others.
SESSION_OPTIONS = (
    "-c timezone=UTC -c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=120000"
)


@lru_cache
def get_engine() -> Engine:
    """Return this process's engine, made at first use: a forked worker must not share its parent's connections."""
    return create_engine(
        get_settings().sqlalchemy_url,
        pool_size=10,
        max_overflow=6,
        pool_timeout=5,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={
            "options": SESSION_OPTIONS,
            "connect_timeout": 5,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "application_name": "giftpulse",
        },
    )


@contextmanager
def session_scope() -> Iterator[Session]:
    """Open a session, commit at the end of the block, roll back if it raises."""
    session = Session(get_engine(), expire_on_commit=False)
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.close()


def forget_connections() -> None:
    """Drop the connections that a fork brought along without closing them under the parent."""
    if get_engine.cache_info().currsize:
        get_engine().dispose(close=False)
        get_engine.cache_clear()
