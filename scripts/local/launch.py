"""The steps of `scripts/start`: servers, schema, simulator and inbox, API, worker, beat; then wait for the end."""

import argparse
import errno
import fcntl
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from app.config import remarks
from app.environment import LOCAL_FOLDER, LOCAL_SETTINGS
from app.errors import ConfigError
from scripts.local import environment, files, first_read, first_start, ports, processes
from scripts.local.children import STOP_SECONDS, ChildDied, Children
from scripts.local.options import parse
from scripts.local.postgres import Postgres
from scripts.local.servers import Server, Servers
from scripts.local.valkey import Valkey
from scripts.twilio_simulator import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN

ROOT = Path(__file__).resolve().parent.parent.parent
FIRST_MEBIBYTES = 300
"""Space for the first start and some hours; most of it is PostgreSQL's write-ahead log."""
SPARE_MEBIBYTES = 32
REMIND_SECONDS = 60.0
START_SECONDS = 180.0
"""For a process to answer: on a busy machine importing everything may take a minute."""
DURABLE = {"max_connections": "100", "shared_buffers": "256MB", "max_wal_size": "2GB"}


class Refused(Exception):
    """It cannot start; the message gives the reason in one line."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Plan:
    """The plan of this start."""

    folder: Path
    host: str
    port: dict[str, int]
    env: dict[str, str]
    operators: dict[str, str]
    """The settings made by the operator."""
    secrets: dict[str, str]
    simulated: bool

    def value(self, name: str) -> str:
        """Return a setting's value, including one from a file."""
        if name in self.env:
            return self.env[name]
        file = self.env.get(f"{name}_FILE")
        return Path(file).read_text(encoding="utf-8-sig").rstrip("\r\n") if file else ""

    def url(self, name: str) -> str:
        return f"http://{processes.LOOPBACK}:{self.port[name]}"


def main() -> int:
    options = parse()
    stopping = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask_to_stop)
    try:
        with _only_one(options.folder), ExitStack() as stack:
            _run(_plan(options), stack, stopping)
            say("stopping; the data stay. What is being sent is finished first; Ctrl-C again stops at once")
    except (Refused, ConfigError, ChildDied, TimeoutError, OSError, RuntimeError, httpx.HTTPError) as error:
        if stopping.is_set():
            return 0
        print(f"giftpulse: {_line(error, options.folder)}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else getattr(error, "code", 1)
    except KeyboardInterrupt:
        return 130
    return 0


def _line(error: Exception, folder: Path) -> str:
    """Describe an error; if the disk may be full, add that."""
    said = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        said = f"{error.filename}: {error.strerror}"
    full = getattr(error, "errno", None) == errno.ENOSPC or _free(folder) < SPARE_MEBIBYTES
    if full and not isinstance(error, Refused | ConfigError):
        said += f"; the disk of {folder} is full: make room and start again"
    return said


def _free(folder: Path) -> int:
    try:
        return files.free_mebibytes(folder)
    except OSError:
        return SPARE_MEBIBYTES


class _RoomWatch:
    """Says once a minute that the disk is nearly full."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._said_at = float("-inf")

    def check(self) -> None:
        now = time.monotonic()
        if now - self._said_at >= REMIND_SECONDS and (free := _free(self._folder)) < SPARE_MEBIBYTES:
            self._said_at = now
            say(f"the disk of {self._folder} has {free} MiB free: make room, or nothing more can be stored")


def _check_room(folder: Path) -> None:
    """Refuse to start if the disk has no space for PostgreSQL.

    Raises: Refused.
    """
    needed = SPARE_MEBIBYTES if (folder / "postgres" / "data" / "PG_VERSION").exists() else FIRST_MEBIBYTES
    if (free := _free(folder)) < needed:
        raise Refused(f"{folder} has {free} MiB free, and {needed} are needed: make room, or choose another --folder")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Prevent a second start with the same data."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    except OSError as error:
        raise Refused(f"{folder} cannot be used ({error.strerror}): choose another --folder") from None
    if not usable:
        raise Refused(f"{folder} cannot be read and written by this user: choose another --folder")
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"it runs already with the data in {folder}; stop that one first") from None
        yield


def _plan(options: argparse.Namespace) -> Plan:
    folder: Path = options.folder.resolve()
    _check_room(folder)
    (folder / "logs").mkdir(exist_ok=True)
    chosen, moved = ports.choose(folder / "ports.json", {"api": options.port} if options.port else {})
    ports.check_address(options.host, chosen["api"])
    for remark in moved:
        say(remark)
    if environment.keep_private(ROOT / ".env"):
        say(".env could be read by other users of this machine; now only its owner can read it")
    settings = environment.given(ROOT, folder / LOCAL_SETTINGS)
    for remark in remarks():
        say(remark)
    secrets = environment.kept_secrets(folder / "secrets.env")
    simulated = environment.watches_simulator(settings)
    defaults = {
        "PUBLIC_BASE_URL": f"http://localhost:{chosen['api']}",
        "LOG_FORMAT": "console",
        "API_KEY": secrets["API_KEY"],
        "SECRET_KEY": secrets["SECRET_KEY"],
    }
    env = {name: value for name, value in defaults.items() if not environment.is_given(settings, name)} | settings
    if simulated:
        twilio_url = f"http://{processes.LOOPBACK}:{chosen['simulator']}"
        env = environment.demo_settings(env, (DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN), twilio_url, chosen["smtp"])
        env.setdefault("INBOX_URL", f"http://localhost:{chosen['inbox']}/")
    return Plan(folder, options.host, chosen, env, settings, secrets, simulated)


def _run(plan: Plan, stack: ExitStack, stopping: threading.Event) -> None:
    """Start everything in order of dependency, and wait for the end."""
    servers = _start_servers(plan, stack)
    environment.write_settings(plan.folder / LOCAL_SETTINGS, plan.env, plan.operators)
    children = Children(plan.folder / "logs", ROOT)
    stack.callback(children.stop)
    _migrate(children, plan)
    if plan.simulated:
        _start_inbox(children, plan)
    python = [sys.executable, "-m"]
    children.start("api", [*python, "uvicorn", "app.api.main:app", *_uvicorn(plan.host, plan.port["api"])], plan.env)
    _await(children, stopping, f"{plan.url('api')}/api/health/live", "the API answers")
    if plan.simulated and not stopping.is_set():
        # Rules first: a rule sees only what happens after its creation.
        _make_rules(plan)
        _start_simulator(children, plan, stopping)
    celery = [*python, "celery", "-A", "app.tasks.celery_app"]
    children.start("worker", [*celery, "worker", "--loglevel=info"], plan.env)
    children.start("beat", [*celery, "beat", "--loglevel=info"], plan.env)
    _tell(plan, stopping)
    room = _RoomWatch(plan.folder)
    while not stopping.wait(0.5):
        room.check()
        for name in servers.revive():
            say(f"{name} stopped and was started again; its log is in {plan.folder}")
        for name in children.revive():
            say(f"the {name} stopped and was started again; see {plan.folder / 'logs' / name}.log")


def _start_servers(plan: Plan, stack: ExitStack) -> Servers:
    """Start the servers that the operator did not configure."""
    started: dict[str, Server] = {}
    if not environment.is_given(plan.env, "DATABASE_URL"):
        postgres = Postgres(plan.folder / "postgres", port=plan.port["postgres"], settings=DURABLE)
        stack.callback(postgres.stop)
        postgres.start()
        plan.env["DATABASE_URL"] = postgres.url()
        started["PostgreSQL"] = postgres
    if not environment.is_given(plan.env, "REDIS_URL"):
        valkey = Valkey(plan.folder / "valkey", port=plan.port["valkey"])
        stack.callback(valkey.stop)
        valkey.start()
        plan.env["REDIS_URL"] = valkey.url()
        started["Valkey"] = valkey
    return Servers(started)


def _migrate(children: Children, plan: Plan) -> None:
    code = children.run("migrate", [sys.executable, "-m", "alembic", "upgrade", "head"], plan.env)
    if code == 2:
        raise Refused(children.tail("migrate").splitlines()[-1].strip().removeprefix("giftpulse: "), 2)
    if code != 0:
        raise Refused(f"the database could not be brought to this version's schema:\n{children.tail('migrate')}")


def _start_inbox(children: Children, plan: Plan) -> None:
    """Start the inbox, which receives all notifications."""
    settings = {
        "INBOX_FOLDER": str(plan.folder / "inbox"),
        "INBOX_SMTP_PORT": str(plan.port["smtp"]),
        "INBOX_WEBHOOK_SECRET": plan.secrets["INBOX_WEBHOOK_SECRET"],
    }
    listen = _uvicorn(processes.LOOPBACK, plan.port["inbox"])
    command = [sys.executable, "-m", "uvicorn", "--factory", "scripts.inbox.app:from_environment", *listen]
    children.start("inbox", command, plan.env | settings)


def _make_rules(plan: Plan) -> None:
    with httpx.Client(base_url=plan.url("api"), headers={"X-API-Key": plan.value("API_KEY")}, trust_env=False) as api:
        secret = plan.secrets["INBOX_WEBHOOK_SECRET"]
        first_start.prepare(api, plan.folder / "first-start-done", plan.url("inbox"), secret)


def _start_simulator(children: Children, plan: Plan, stopping: threading.Event) -> None:
    """Start the simulated Twilio; its history is the same at every start."""
    command = [sys.executable, "-m", "scripts.twilio_simulator", "--port", str(plan.port["simulator"])]
    children.start("simulator", [*command, "--state", str(plan.folder / "simulator.json")], plan.env)

    def answers() -> bool:
        children.check()
        return stopping.is_set() or not processes.port_is_free(plan.port["simulator"])

    processes.wait_until(answers, "the simulator answers; see .giftpulse/logs/", seconds=START_SECONDS)


def _uvicorn(host: str, port: int) -> list[str]:
    # Running requests are answered first. The test of an action takes as long as its receiver.
    return ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", str(STOP_SECONDS - 10)]


def _await(children: Children, stopping: threading.Event, url: str, what: str) -> None:
    # One client for all questions: each new one would read all certificates again.
    with httpx.Client(trust_env=False, timeout=2) as client:

        def answers() -> bool:
            children.check()
            try:
                return stopping.is_set() or client.get(url).is_success
            except httpx.TransportError:
                return False

        processes.wait_until(answers, f"{what}; see .giftpulse/logs/", seconds=START_SECONDS)


def _watched(plan: Plan, stopping: threading.Event) -> str:
    """Describe what is watched: of an account, only what Twilio lets us read."""
    if plan.simulated:
        return "It watches the bundled Twilio simulator, because no Twilio credentials are set (TWILIO_ACCOUNT_SID)."
    sid = plan.value("TWILIO_ACCOUNT_SID")
    say(f"reading the Twilio account {sid}")
    with httpx.Client(
        base_url=plan.url("api"), headers={"X-API-Key": plan.value("API_KEY")}, trust_env=False, timeout=30
    ) as api:
        return first_read.describe(api, sid, stopping.is_set)


def _tell(plan: Plan, stopping: threading.Event) -> None:
    """Print the addresses."""
    watched = _watched(plan, stopping)
    key = plan.value("API_KEY")
    # The address signs in: what follows # never reaches a server's log.
    rows = [("Console", f"http://localhost:{plan.port['api']}/sign-in#key={key}"), ("API key", key)]
    if plan.simulated:
        rows.append(
            ("Inbox", f"http://localhost:{plan.port['inbox']}/  its mails and webhooks; the first come within a minute")
        )
        rows.append(("Simulator", f"{plan.url('simulator')}/"))
    rows.append(("Data, logs", f"{plan.folder}/"))
    if not plan.simulated:
        rows += [("Missing", f"{what}: {_command_line(plan)} setup") for what in _missing(plan)]
    rows.append(("Command line", f"{_command_line(plan)} --help"))
    lines = "\n".join(f"  {name:<14}{value}" for name, value in rows)
    say(f"GiftPulse runs. {watched}\n\n{lines}\n\n  Ctrl-C stops it; the data stay.")


def _missing(plan: Plan) -> list[str]:
    """Ask the API what is missing: without a rule and an action nobody is notified."""
    what = {"rules": "no rule, so nothing alerts", "actions": "no action, so nobody is notified"}
    headers = {"X-API-Key": plan.value("API_KEY")}
    try:
        with httpx.Client(base_url=plan.url("api"), headers=headers, trust_env=False, timeout=10) as api:
            return [words for name, words in what.items() if api.get(f"/api/{name}?limit=1").json().get("items") == []]
    except (httpx.HTTPError, ValueError):
        return []


def _command_line(plan: Plan) -> str:
    """Return the command line: it finds this start by itself unless the data are elsewhere."""
    python = Path(sys.executable)
    shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    usual = plan.folder == LOCAL_FOLDER.resolve()
    return f"{shlex.quote(str(shown))} -m app" + ("" if usual else f" --folder {shlex.quote(str(plan.folder))}")


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
