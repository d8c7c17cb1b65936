"""The servers that `scripts/start` brings along: restarted when they die, as its other processes are."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from scripts.local import processes
from scripts.local.children import ChildDied, Deaths


class Server(Protocol):
    """A server with data of its own, such as `Postgres` and `Valkey`."""

    process: subprocess.Popen[bytes] | None

    @property
    def log_file(self) -> Path: ...

    def start(self) -> None: ...


class Servers:
    """Started servers by their names."""

    def __init__(self, running: Mapping[str, Server]) -> None:
        self._running = running
        self._deaths = Deaths()

    def revive(self) -> list[str]:
        """Restart dead servers with their data; return their names.

        Raises: ChildDied if a restart would not help; RuntimeError, TimeoutError if one does not start.
        """
        dead = {
            name: (server, server.process)
            for name, server in self._running.items()
            if server.process is not None and server.process.poll() is not None
        }
        for name, (server, process) in dead.items():
            if self._deaths.are_too_many(name):
                raise ChildDied(f"{name} stops again and again; see {server.log_file}")
            processes.kill_group(process)
            server.start()
        return list(dead)
