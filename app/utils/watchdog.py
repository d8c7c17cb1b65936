"""Cuts the lines to a database server that hangs.

Such a server still acknowledges what is sent to it, and its own time-outs hang with it: only the client can end the
wait. A statement may well take long; so the server is asked for another connection before it is given up.
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

LOOKS_EVERY_SECONDS = 0.5
LOOKS = 4
"""A connection that waits for an answer at so many looks in a row makes us doubt the server."""
GREETS_WITHIN_SECONDS = 3
"""A server that takes longer to take a new connection is one that hangs."""

log = structlog.get_logger()


@dataclass
class _Line:
    """One open connection."""

    connection: Any
    """The driver's."""
    socket: socket.socket
    """A second handle on its socket, which stays ours whatever the driver closes meanwhile."""
    waited_at_looks: int = 0

    def waits(self) -> bool:
        try:
            return bool(self.connection.info.transaction_status == TRANSACTION_STATUS_ACTIVE)
        except psycopg2.Error:  # it was closed at this moment
            return False

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """Looks after all connections of an engine from a thread of its own, which lives while there are any."""

    def __init__(self, engine: Engine, parameters: Mapping[str, Any]) -> None:
        self._parameters = {**parameters, "connect_timeout": GREETS_WITHIN_SECONDS}
        self._lines: dict[int, _Line] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._hangs = False
        event.listen(engine, "do_connect", self._before_connect)
        event.listen(engine, "connect", self._take)
        event.listen(engine, "close", self._let_go)

    def _before_connect(self, *_: object) -> None:
        """Refuse at once what would only wait; the thread sees when the server answers again."""
        if self._hangs:
            raise psycopg2.OperationalError("the database server hangs; it is asked every few seconds")

    def _take(self, connection: Any, _record: object) -> None:
        with self._lock:
            self._lines[id(connection)] = _Line(connection, socket.socket(fileno=os.dup(connection.fileno())))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="database watchdog", daemon=True)
                self._thread.start()

    def _let_go(self, connection: Any, _record: object) -> None:
        with self._lock:
            if line := self._lines.pop(id(connection), None):
                line.socket.close()

    def _run(self) -> None:
        while self._is_needed():
            time.sleep(LOOKS_EVERY_SECONDS)
            if self._hangs or self._is_in_doubt():
                self._ask()

    def _is_needed(self) -> bool:
        with self._lock:
            if not self._lines and not self._hangs:
                self._thread = None
            return self._thread is not None

    def _is_in_doubt(self) -> bool:
        with self._lock:
            for line in self._lines.values():
                line.waited_at_looks = line.waited_at_looks + 1 if line.waits() else 0
            return any(line.waited_at_looks >= LOOKS for line in self._lines.values())

    def _ask(self) -> None:
        """Ask the server for a connection, and cut all others if it does not answer."""
        hung, self._hangs = self._hangs, not self._greets()
        with self._lock:
            for line in self._lines.values():
                line.waited_at_looks = 0
                if self._hangs:
                    line.cut()
        if self._hangs and not hung:
            log.error("the database server hangs: its connections were cut, and what they did is tried again")
        elif hung and not self._hangs:
            log.warning("the database server answers again")

    def _greets(self) -> bool:
        """Say whether the server answers in time, be it by a refusal: that ends waits by itself."""
        began = time.monotonic()
        try:
            psycopg2.connect(**self._parameters).close()
        except psycopg2.Error:
            return time.monotonic() - began < GREETS_WITHIN_SECONDS
        return True
