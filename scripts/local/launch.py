"""The story of `scripts/start`: servers, schema, simulator and inbox, API, worker, beat; then wait for the end."""

import argparse
import fcntl
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
from app.errors import ConfigError
from scripts.local import environment, first_read, first_start, ports, processes
from scripts.local.children import STOP_SECONDS, ChildDied, Children
from scripts.local.postgres import Postgres
from scripts.local.valkey import Valkey
from scripts.twilio_simulator import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN

ROOT = Path(__file__).resolve().parent.parent.parent
DURABLE = {"max_connections": "100", "shared_buffers": "256MB", "max_wal_size": "2GB"}


class Refused(Exception):
    """It cannot start; the message says why in one line."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Plan:
    """What this start will do."""

    folder: Path
    host: str
    port: dict[str, int]
    env: dict[str, str]
    secrets: dict[str, str]
    simulated: bool

    def url(self, name: str) -> str:
        return f"http://{processes.LOOPBACK}:{self.port[name]}"


def main() -> int:
    options = _options()
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
        print(f"giftpulse: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else getattr(error, "code", 1)
    except KeyboardInterrupt:
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/start", description="Runs all of GiftPulse on this machine.")
    parser.add_argument("--host", default=processes.LOOPBACK, help="where the API listens; 0.0.0.0 means everywhere")
    parser.add_argument("--port", type=int, help="the API's port; 8000, or another where that is taken")
    parser.add_argument("--folder", type=Path, default=ROOT / ".giftpulse", help="where the data are kept")
    return parser.parse_args()


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Keep a second start from the same data."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"it runs already with the data in {folder}; stop that one first") from None
        yield


def _plan(options: argparse.Namespace) -> Plan:
    folder: Path = options.folder.resolve()
    (folder / "logs").mkdir(exist_ok=True)
    chosen, moved = ports.choose(folder / "ports.json", {"api": options.port} if options.port else {})
    for remark in moved:
        say(remark)
    if environment.keep_private(ROOT / ".env"):
        say(".env could be read by other users of this machine; now only its owner can read it")
    settings = environment.given(ROOT)
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
    return Plan(folder, options.host, chosen, env, secrets, simulated)


def _run(plan: Plan, stack: ExitStack, stopping: threading.Event) -> None:
    """Start everything, in the order of who needs whom, and wait for the end of it."""
    _start_servers(plan, stack)
    environment.write_settings(plan.folder / "settings.env", plan.env, environment.given(ROOT))
    children = Children(plan.folder / "logs", ROOT)
    stack.callback(children.stop)
    _migrate(children, plan)
    if plan.simulated:
        _start_inbox(children, plan)
    python = [sys.executable, "-m"]
    children.start("api", [*python, "uvicorn", "app.api.main:app", *_uvicorn(plan.host, plan.port["api"])], plan.env)
    _await(children, stopping, f"{plan.url('api')}/api/health/live", "the API answers")
    if plan.simulated and not stopping.is_set():
        # The rules first: a rule looks only at what happens after it was made.
        _make_rules(plan)
        _start_simulator(children, plan, stopping)
    celery = [*python, "celery", "-A", "app.tasks.celery_app"]
    children.start("worker", [*celery, "worker", "--loglevel=info"], plan.env)
    children.start("beat", [*celery, "beat", "--loglevel=info"], plan.env)
    _tell(plan, stopping)
    while not stopping.wait(0.5):
        for name in children.revive():
            say(f"the {name} stopped and was started again; see {plan.folder / 'logs' / name}.log")


def _start_servers(plan: Plan, stack: ExitStack) -> None:
    """Start the servers that the operator did not name."""
    if not environment.is_given(plan.env, "DATABASE_URL"):
        postgres = Postgres(plan.folder / "postgres", port=plan.port["postgres"], settings=DURABLE)
        stack.callback(postgres.stop)
        postgres.start()
        plan.env["DATABASE_URL"] = postgres.url()
    if not environment.is_given(plan.env, "REDIS_URL"):
        valkey = Valkey(plan.folder / "valkey", port=plan.port["valkey"])
        stack.callback(valkey.stop)
        valkey.start()
        plan.env["REDIS_URL"] = valkey.url()


def _migrate(children: Children, plan: Plan) -> None:
    code = children.run("migrate", [sys.executable, "-m", "alembic", "upgrade", "head"], plan.env)
    if code == 2:
        raise Refused(children.tail("migrate").splitlines()[-1].strip().removeprefix("giftpulse: "), 2)
    if code != 0:
        raise Refused(f"the database could not be brought to this version's schema:\n{children.tail('migrate')}")


def _start_inbox(children: Children, plan: Plan) -> None:
    """Start the inbox, which catches what would go out."""
    settings = {
        "INBOX_FOLDER": str(plan.folder / "inbox"),
        "INBOX_SMTP_PORT": str(plan.port["smtp"]),
        "INBOX_WEBHOOK_SECRET": plan.secrets["INBOX_WEBHOOK_SECRET"],
    }
    listen = _uvicorn(processes.LOOPBACK, plan.port["inbox"])
    command = [sys.executable, "-m", "uvicorn", "--factory", "scripts.inbox.app:from_environment", *listen]
    children.start("inbox", command, plan.env | settings)


def _make_rules(plan: Plan) -> None:
    with httpx.Client(base_url=plan.url("api"), headers={"X-API-Key": plan.env["API_KEY"]}, trust_env=False) as api:
        secret = plan.secrets["INBOX_WEBHOOK_SECRET"]
        first_start.prepare(api, plan.folder / "first-start-done", plan.url("inbox"), secret)


def _start_simulator(children: Children, plan: Plan, stopping: threading.Event) -> None:
    """Start the simulated Twilio; its history is the same after every start."""
    command = [sys.executable, "-m", "scripts.twilio_simulator", "--port", str(plan.port["simulator"])]
    children.start("simulator", [*command, "--state", str(plan.folder / "simulator.json")], plan.env)

    def answers() -> bool:
        children.check()
        return stopping.is_set() or not processes.port_is_free(plan.port["simulator"])

    processes.wait_until(answers, "the simulator answers; see .giftpulse/logs/", seconds=60)


def _uvicorn(host: str, port: int) -> list[str]:
    # A request that has begun is answered first. The test of an action takes as long as its receiver.
    return ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", str(STOP_SECONDS - 10)]


def _await(children: Children, stopping: threading.Event, url: str, what: str) -> None:
    def answers() -> bool:
        children.check()
        try:
            return stopping.is_set() or httpx.get(url, trust_env=False, timeout=2).is_success
        except httpx.TransportError:
            return False

    processes.wait_until(answers, f"{what}; see .giftpulse/logs/", seconds=60)


def _watched(plan: Plan, stopping: threading.Event) -> str:
    """Say what is watched: of an account only what Twilio lets us read."""
    if plan.simulated:
        return "It watches the bundled Twilio simulator, because no Twilio credentials are set (TWILIO_ACCOUNT_SID)."
    say(f"reading the Twilio account {plan.env['TWILIO_ACCOUNT_SID']} for the first time")
    with httpx.Client(
        base_url=plan.url("api"), headers={"X-API-Key": plan.env["API_KEY"]}, trust_env=False, timeout=30
    ) as api:
        return first_read.describe(api, plan.env["TWILIO_ACCOUNT_SID"], stopping.is_set)


def _tell(plan: Plan, stopping: threading.Event) -> None:
    """Say where to look."""
    watched = _watched(plan, stopping)
    rows = [("Console, API", f"http://localhost:{plan.port['api']}/"), ("API key", plan.env["API_KEY"])]
    if plan.simulated:
        rows.append(
            ("Inbox", f"http://localhost:{plan.port['inbox']}/  its mails and webhooks; the first come within a minute")
        )
        rows.append(("Simulator", f"{plan.url('simulator')}/"))
    rows.append(("Data, logs", f"{plan.folder}/"))
    rows.append(("Command line", f"set -a; . {shlex.quote(str(plan.folder / 'settings.env'))}; set +a"))
    rows.append(("", ".venv/bin/python -m app --help"))
    lines = "\n".join(f"  {name:<14}{value}" for name, value in rows)
    say(f"GiftPulse runs. {watched}\n\n{lines}\n\n  Ctrl-C stops it; the data stay.")


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
