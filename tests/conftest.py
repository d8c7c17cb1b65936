"""What tests share: settings, a clock, and real servers, started once a run and emptied for each test.

`settings` is all that a unit test needs. `database` gives a test a PostgreSQL database of its own with the schema that
alembic makes, and points the product's own `session_scope` at it. `broker` does the same with a Valkey.
"""

import gc
import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from app import environment as product_environment
from app import wake
from app.config import Settings, get_settings
from app.database import get_engine, session_scope
from app.services.logs import partitions
from app.utils.clock import utc_now
from scripts.local.postgres import FAST_AND_LOOSE, Postgres
from scripts.local.valkey import Valkey
from tests import profiles
from tests.fakes import START, FrozenClock
from tests.kits import engines
from tests.kits.databases import Databases
from tests.kits.pgbouncer import PROGRAM, PgBouncer
from tests.kits.scheduling import SharedProcesses

gc.disable()  # until all tests are collected: what they consist of stays
profiles.register()
signal.signal(signal.SIGINT, signal.default_int_handler)
"""A run in the background ignores Ctrl-C, and so would every program that a test starts and interrupts."""
engines.share()
plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])
"""By default a traceback shows every variable, which takes seconds that a deadline may not have."""
configure_structlog = structlog.configure
structlog.configure = lambda **settings: configure_structlog(**settings | {"cache_logger_on_first_use": False})
"""A cached logger keeps the settings of the test that used it first, so that later ones cannot capture what it says."""

ROOT = Path(__file__).parent.parent
TEMPLATE = "template_giftpulse"
API_KEY = "test-key-of-the-administrator"
SECRET_KEY = "test-secret-that-encrypts"
ENVIRONMENT = {
    "API_KEY": API_KEY,
    "SECRET_KEY": SECRET_KEY,
    "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "TWILIO_API_BASE_URL": "https://twilio.invalid",
    "TWILIO_MONITOR_BASE_URL": "https://twilio.invalid",
    "LOG_FORMAT": "console",
}
"""Nothing listens at these addresses: a test that needs a server asks for its fixture."""
SETTINGS = {form for name in Settings.model_fields for form in (name, name.upper(), f"{name.upper()}_FILE")}
"""The variables in which the product looks for its settings."""

product_environment.LOCAL_FOLDER = Path("/nonexistent")  # nor is what runs beside it
Settings.env_file = None  # a developer's own `.env` is no part of a test


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow, too")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two workers for each core: a test waits for processes and deadlines about as long as it computes."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharedProcesses:
    return SharedProcesses(config, log)


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what lives as long as the run, and look for the rest seldom."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


def forget() -> None:
    """Make the product read its settings anew, and open its connections anew."""
    if get_engine.cache_info().currsize:
        get_engine().dispose()
    get_engine.cache_clear()
    wake._client.cache_clear()
    get_settings.cache_clear()


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo how a test, or the first import of the API, sets up logging.

    Its handler writes to the output of that test, which is then closed, and servers in threads of later tests log.
    """
    root, ours = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**ours)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Settings that every test begins with, whatever the environment of the run says.

    A test that sets a variable through this fixture calls `forget()` after it.
    """
    for variable in SETTINGS & os.environ.keys():
        monkeypatch.delenv(variable)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    forget()
    yield monkeypatch
    forget()


@pytest.fixture
def settings(environment: pytest.MonkeyPatch) -> Settings:
    """The settings of this test; the ones of the database, where `database` was asked for before."""
    return get_settings()


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder for servers that every user can reach: PostgreSQL does not run as root."""
    with tempfile.TemporaryDirectory(prefix="giftpulse-tests-", ignore_cleanup_errors=True) as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="session")
def postgres(folder: Path) -> Iterator[Postgres]:
    """A running PostgreSQL whose template database has the product's schema."""
    server = Postgres(folder / "postgres", settings=FAST_AND_LOOSE)
    try:
        server.start()
        _shorten_logins(server)
        server.create_database(TEMPLATE)
        migrate(server.url(TEMPLATE))
        _make_partitions(server.url(TEMPLATE))
        yield server
    finally:
        server.stop()


def _shorten_logins(server: Postgres) -> None:
    """Hash the password once instead of 4096 times: tests open thousands of connections."""
    password = unquote(urlsplit(server.url()).password or "")
    with server.maintenance() as cursor:
        cursor.execute("SET scram_iterations = 1")
        cursor.execute("ALTER ROLE CURRENT_USER PASSWORD %s", (password,))


def _make_partitions(url: str) -> None:
    """Make partitions of the months that most tests are about, so that they need not change the schema."""
    now, month = utc_now(), partitions.month_of
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg2:", 1))
    with engine.begin() as connection:
        partitions.create(connection, sorted({month(START - timedelta(days=30)), month(START), month(now)}))
    engine.dispose()


@pytest.fixture(scope="session")
def valkey(folder: Path) -> Iterator[Valkey]:
    server = Valkey(folder / "valkey")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Databases:
    return Databases(postgres, TEMPLATE)


@pytest.fixture
def database(databases: Databases, environment: pytest.MonkeyPatch) -> Iterator[str]:
    """A database of this test alone; the answer is its address, as `DATABASE_URL` takes it."""
    with databases.lend() as url:
        environment.setenv("DATABASE_URL", url)
        forget()
        yield url
        forget()


@pytest.fixture(scope="session")
def pgbouncer(folder: Path, postgres: Postgres) -> Iterator[PgBouncer]:
    """A PgBouncer in transaction mode before the run's PostgreSQL."""
    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed: apt-get install pgbouncer")
    pooler = PgBouncer(folder / "pgbouncer", postgres.url())
    try:
        pooler.start()
        yield pooler
    finally:
        pooler.stop()


@pytest.fixture
def pooled(database: str, pgbouncer: PgBouncer, environment: pytest.MonkeyPatch) -> str:
    """The database of this test, which the product now reaches through the pooler; the answer is its address."""
    url = pgbouncer.url(database.rpartition("/")[2])
    environment.setenv("DATABASE_URL", url)
    forget()
    return url


@pytest.fixture
def broker(valkey: Valkey, environment: pytest.MonkeyPatch) -> str:
    """An empty Valkey; the answer is its address, as `REDIS_URL` takes it."""
    valkey.ask("FLUSHALL")
    environment.setenv("REDIS_URL", valkey.url())
    forget()
    return valkey.url()


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    """A session that commits at the end of the test; what others must see before needs a `session.commit()`."""
    with session_scope() as opened:
        yield opened


def migrate(url: str, revision: str = "head", *, back: bool = False) -> None:
    """Bring a database to a revision by alembic, in this process; `base`, `-1` and `back` lead back."""
    config = Config(str(ROOT / "alembic.ini"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        forget()
        back = back or revision == "base" or revision.startswith("-")
        command.downgrade(config, revision) if back else command.upgrade(config, revision)
    forget()
