"""What the database refuses is named: in health, by the doctor, on the command line, and in the log without values."""

import io
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from uuid import uuid4

import psycopg2
import pytest
import structlog
from sqlalchemy import text

from app import cli
from app.config import get_settings
from app.database import session_scope
from app.services import doctor, health
from app.utils.clock import utc_now
from app.utils.logging import configure_logging
from scripts.local.postgres import Postgres
from tests.conftest import forget
from tests.kits.engines import sessions

ALL = "SELECT, INSERT, UPDATE, DELETE"
NUMBER = "+14155550100"


@dataclass
class Role:
    """A role of its own for the product, which owns nothing."""

    owner_url: str
    name: str = field(default_factory=lambda: f"limited_{uuid4().hex[:12]}")

    def allow(self, *statements: str) -> None:
        """Grant or revoke as the owner of everything."""
        with closing(psycopg2.connect(self.owner_url)) as connection, connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@pytest.fixture
def role(database: str, postgres: Postgres, environment: pytest.MonkeyPatch) -> Iterator[Role]:
    made = Role(database)
    made.allow(f"CREATE ROLE {made.name} LOGIN PASSWORD 'limited'")
    rest = database.rpartition("@")[2]
    environment.setenv("DATABASE_URL", f"postgresql://{made.name}:limited@{rest}")
    forget()
    yield made
    forget()
    made.allow(f"DROP OWNED BY {made.name}", f"DROP ROLE {made.name}")


def _health() -> health.Check:
    return health.examine(get_settings(), utc_now()).checks["database"]


def _doctor() -> doctor.Finding:
    return next(iter(doctor.examine(get_settings(), utc_now)))


def test_a_role_without_rights_does_not_learn_of_another_schema(role: Role, capsys: pytest.CaptureFixture[str]) -> None:
    for said in (_health().detail, _doctor().detail):
        assert "permission denied for table" in said or f'the role "{role.name}" lacks SELECT' in said
        assert "schema than" not in said
    assert _health().status == "down"
    with pytest.raises(SystemExit), cli._friendly_errors(), session_scope() as session:
        session.execute(text("SELECT * FROM rules"))
    assert "permission denied for table rules" in capsys.readouterr().err


def test_a_role_that_may_only_read_is_down(role: Role) -> None:
    role.allow(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role.name}")
    assert _health().status == "down"
    assert f'the role "{role.name}" lacks INSERT on ' in _health().detail
    assert f'GRANT {ALL} ON ALL TABLES IN SCHEMA "public" TO "{role.name}"' in _health().detail
    assert (_doctor().result, "lacks INSERT" in _doctor().detail) == ("wrong", True)


def test_one_privilege_that_is_missing_is_named(role: Role) -> None:
    role.allow(
        f"GRANT {ALL} ON ALL TABLES IN SCHEMA public TO {role.name}", f"REVOKE UPDATE ON alerts FROM {role.name}"
    )
    assert f'the role "{role.name}" lacks UPDATE on alerts: ' in _health().detail


def test_a_role_that_cannot_make_partitions_is_degraded_until_it_can(role: Role) -> None:
    role.allow(f"GRANT {ALL} ON ALL TABLES IN SCHEMA public TO {role.name}")
    assert _health().status == "down"
    assert f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "public" TO "{role.name}"' in _health().detail
    role.allow(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role.name}")
    assert _health().status == "degraded"
    assert f'GRANT CREATE ON SCHEMA "public" TO "{role.name}"' in _health().detail
    role.allow(f"GRANT CREATE ON SCHEMA public TO {role.name}")
    assert 'GRANT "giftpulse" TO' in _health().detail
    role.allow(f"GRANT giftpulse TO {role.name}")
    assert (_health().status, _doctor().result) == ("ok", "ok")


def test_a_database_that_can_only_be_read_is_down(database: str) -> None:
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database.rpartition('/')[2]} SET default_transaction_read_only = on")
    forget()
    sessions.end()  # those of earlier tests have the old default
    assert _health() == health.Check("down", _doctor().detail)
    assert "is read-only" in _doctor().detail


def test_a_login_that_is_refused_is_named(database: str, environment: pytest.MonkeyPatch) -> None:
    user = database.partition("://")[2].partition(":")[0]
    environment.setenv("DATABASE_URL", database.replace(f"{user}:", f"{user}:wrong", 1))
    forget()
    assert f'password authentication failed for user "{user}"' in _health().detail
    assert "password authentication failed" in _doctor().detail


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("{database}?sslmode=require", "server does not support SSL"),
        ("{login}@nosuch.invalid/giftpulse", "its host name cannot be looked up"),
        ("{user}@{server}", "no password supplied"),
    ],
)
def test_what_the_library_says_of_a_connection_is_named(
    database: str, environment: pytest.MonkeyPatch, address: str, words: str
) -> None:
    login, _, server = database.rpartition("@")
    user = login.rpartition(":")[0]
    environment.setenv("DATABASE_URL", address.format(database=database, login=login, user=user, server=server))
    environment.delenv("PGPASSWORD", raising=False)
    forget()
    assert words in _health().detail


@pytest.fixture
def output() -> io.StringIO:
    """What the process logs, as JSON."""
    written = io.StringIO()
    configure_logging("INFO", "json")
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    return written


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("INSERT INTO heartbeats VALUES (:value, now()), (:value, now())", "duplicate key value"),
        ("UPDATE rule_sets SET version = CAST(:value || 'x' AS bigint)", "invalid input syntax for type bigint"),
    ],
)
def test_an_error_of_the_driver_is_logged_with_statement_and_position_without_values(
    database: str, output: io.StringIO, statement: str, message: str
) -> None:
    for log in (structlog.get_logger(), logging.getLogger("celery.app.trace")):
        try:
            with session_scope() as session:
                session.execute(text(statement), {"value": NUMBER})
        except Exception as error:
            # As Celery does.
            log.exception(f"it failed: {error!r}")  # noqa: TRY401
    lines = output.getvalue().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert message in line
        assert '"statement": "' + " ".join(statement.split()[: 3 if "INSERT" in statement else 2])[:18] in line
        assert NUMBER not in line
        assert "Traceback" not in line
