"""Closes the connections to a hung database server.

Such a server still acknowledges data, and its own timeouts hang with it, so only the client can end the wait. A
statement may take long, so the server is first asked for another connection.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2
import structlog
from psycopg2.extensions import TRANSACTION_STATUS_ACTIVE
from sqlalchemy import Engine, event

CHECK_INTERVAL_SECONDS = 0.5
MAX_MISSED_CHECKS = 4
"""A connection that waits at this many checks in a row raises suspicion."""
GREETING_TIMEOUT_SECONDS = 3
"""A server that needs longer to accept a connection is hung."""

log = structlog.get_logger()


@dataclass
class _WatchedConnection:
    """One open connection."""

    connection: Any
    """The driver's connection."""
    socket: socket.socket
    """A duplicate of its socket, which stays open even if the driver closes its own."""
    missed_checks: int = 0

    def is_waiting(self) -> bool:
        try:
            return bool(self.connection.info.transaction_status == TRANSACTION_STATUS_ACTIVE)
        except psycopg2.Error:  # it was just closed
            return False

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """Watches all connections of an engine, from a thread that runs while there are any."""

    def __init__(self, engine: Engine, parameters: Mapping[str, Any]) -> None:
        self._parameters = {**parameters, "connect_timeout": GREETING_TIMEOUT_SECONDS}
        self._connections: dict[int, _WatchedConnection] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._hangs = False
        event.listen(engine, "do_connect", self._before_connect)
        event.listen(engine, "connect", self._watch)
        event.listen(engine, "close", self._unwatch)

    def _before_connect(self, *_: object) -> None:
        """Refuse immediately: a new connection would only wait. The thread notices when the server responds again."""
        if self._hangs:
            raise psycopg2.OperationalError("the database server hangs; it is asked every few seconds")

    def _watch(self, connection: Any, _record: object) -> None:
        with self._lock:
            self._connections[id(connection)] = _WatchedConnection(
                connection, socket.socket(fileno=os.dup(connection.fileno()))
            )
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="database watchdog", daemon=True)
                self._thread.start()

    def _unwatch(self, connection: Any, _record: object) -> None:
        with self._lock:
            if watched := self._connections.pop(id(connection), None):
                watched.socket.close()

    def _run(self) -> None:
        while self._is_needed():
            time.sleep(CHECK_INTERVAL_SECONDS)
            if self._hangs or self._is_in_doubt():
                self._check_server()

    def _is_needed(self) -> bool:
        with self._lock:
            if not self._connections and not self._hangs:
                self._thread = None
            return self._thread is not None

    def _is_in_doubt(self) -> bool:
        with self._lock:
            for watched in self._connections.values():
                watched.missed_checks = watched.missed_checks + 1 if watched.is_waiting() else 0
            return any(watched.missed_checks >= MAX_MISSED_CHECKS for watched in self._connections.values())

    def _check_server(self) -> None:
        """Try a new connection, and close all others if the server does not respond."""
        hung, self._hangs = self._hangs, not self._server_answers()
        with self._lock:
            for watched in self._connections.values():
                watched.missed_checks = 0
                if self._hangs:
                    watched.cut()
        if self._hangs and not hung:
            log.error("the database server hangs: its connections were cut, and what they did is tried again")
        elif hung and not self._hangs:
            log.warning("the database server answers again")

    def _server_answers(self) -> bool:
        """Return whether the server responds in time. A refusal counts: it ends waits by itself."""
        began = time.monotonic()
        try:
            psycopg2.connect(**self._parameters).close()
        except psycopg2.Error:
            # A refusal comes immediately, and libpq's time may run out a little early.
            return time.monotonic() - began < GREETING_TIMEOUT_SECONDS / 2
        return True
