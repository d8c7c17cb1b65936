"""Debian's PgBouncer as a child process, in transaction mode: after each transaction a connection goes to somebody
else, and start-up parameters that it does not know are refused.
"""

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from scripts.local import processes

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
SERVER_CONNECTIONS = 4
"""Fewer than there are clients: they share."""


class PgBouncer:
    """One pooler before one PostgreSQL."""

    def __init__(self, folder: Path, postgres_url: str) -> None:
        self._folder, self._target = folder, urlsplit(postgres_url)
        self.port = processes.free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """The address of a database, as `DATABASE_URL` takes it."""
        login = self._target.netloc.rpartition("@")[0]
        return f"postgresql://{login}@{processes.LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the pooler and wait until it passes a connection on."""
        assert PROGRAM is not None
        self._folder.mkdir(mode=0o755, parents=True)
        config, users = self._folder / "pgbouncer.ini", self._folder / "users.txt"
        users.write_text(f'"{self._target.username}" "{self._target.password}"\n')
        config.write_text(
            f"[databases]\n* = host={self._target.hostname} port={self._target.port}\n"
            f"[pgbouncer]\nlisten_addr = {processes.LOOPBACK}\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\n"
            f"default_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 200\n"
        )
        log = self._folder / "pgbouncer.log"
        with log.open("ab") as output:
            # It refuses to run as root.
            self.process = processes.start([PROGRAM, str(config)], unprivileged=[config, users], output=output)
        processes.wait_until(self._answers, f"PgBouncer starts; see {log}", seconds=60)

    def stop(self) -> None:
        if self.process is not None:
            processes.stop(self.process)

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"PgBouncer stopped at its start; see {self._folder}")
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True
