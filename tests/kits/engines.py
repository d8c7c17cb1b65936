"""What the engines of all tests share, as each test has its own: compiled statements, and sessions of lent databases.

A new session of PostgreSQL costs a process that first reads the catalogs, many times what a test does with it.
"""

import os
from collections import defaultdict
from select import select
from typing import Any
from weakref import WeakKeyDictionary

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class whose name is in lower case
from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.util import LRUCache

_compiled: LRUCache[Any, Any] = LRUCache(5_000)
MAX_IDLE = 3
"""As many sessions of a database are kept as one thread and those beside it use."""
_Key = frozenset[tuple[str, Any]]


class Sessions:
    """Keeps the sessions of lent databases when a test closes them, and gives them out again as good as new."""

    def __init__(self) -> None:
        self.databases: set[tuple[str, str]] = set()
        """Port and name of the databases whose sessions are kept."""
        self._keys: WeakKeyDictionary[Connection, _Key] = WeakKeyDictionary()
        self._idle: dict[_Key, list[Connection]] = defaultdict(list)
        self._owner = os.getpid()

    def connect(self, **parameters: Any) -> Connection:
        """Connect as psycopg2 does; the parameters are those of libpq."""
        idle = self._idle[key := frozenset(parameters.items())] if os.getpid() == self._owner else []
        while idle:
            if _is_quiet(kept := idle.pop()):
                return kept
            kept.close()
        connection: Connection = psycopg2.connect(**parameters)
        if (str(parameters.get("port")), parameters.get("dbname")) in self.databases:
            self._keys[connection] = key
        return connection

    def close(self, connection: Connection) -> None:
        """Close a connection, or keep its session for the next."""
        key = self._keys.get(connection) if os.getpid() == self._owner else None
        if key is not None and len(self._idle[key]) < MAX_IDLE and _make_new(connection):
            self._idle[key].append(connection)
        else:
            connection.close()

    def is_quiet(self, connection: Connection) -> bool:
        """Whether this is a session of a lent database, and its server has said nothing unasked."""
        return connection in self._keys and _is_quiet(connection)

    def pids(self) -> list[int]:
        """The processes of PostgreSQL that serve the sessions that are kept."""
        return [connection.info.backend_pid for idle in self._idle.values() for connection in idle]

    def end(self) -> None:
        """End all sessions that are kept."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()


def _make_new(connection: Connection) -> bool:
    """Forget what was done in a session, and count it in the statistics; false where the session is lost."""
    try:
        connection.rollback()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("DISCARD ALL")
            cursor.execute("SELECT pg_stat_force_next_flush()")
        connection.autocommit = False
    except psycopg2.Error:
        return False
    connection.notices.clear()
    return True


def _is_quiet(connection: Connection) -> bool:
    """Whether nothing has come from the server that nobody has read; it says so when it ends a session."""
    return not select([connection], [], [], 0)[0]


sessions = Sessions()


class SharingDialect(PGDialect_psycopg2):
    """The product's dialect; as a part of a cache's key, all its instances are one."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.server_version_info == self.server_version_info

    def __hash__(self) -> int:
        return hash(type(self))

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        engine._compiled_cache = _compiled

    def connect(self, *_: Any, **parameters: Any) -> Any:
        return sessions.connect(**parameters)

    def do_ping(self, dbapi_connection: Any) -> Any:
        """Ask the server only where it has said something unasked, as it does when it ends a session."""
        return sessions.is_quiet(dbapi_connection) or super().do_ping(dbapi_connection)  # type: ignore[no-untyped-call]

    def do_close(self, dbapi_connection: Any) -> None:
        sessions.close(dbapi_connection)

    def do_terminate(self, dbapi_connection: Any) -> None:
        dbapi_connection.close()


def share() -> None:
    """Let every engine that is made from now on share this."""
    registry.register("postgresql.psycopg2", __name__, SharingDialect.__name__)
