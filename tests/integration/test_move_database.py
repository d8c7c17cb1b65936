"""Moving to another PostgreSQL: all of it arrives, numbers go on, and nothing is moved where that cannot be whole."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text

from app.config import get_settings
from app.database import session_scope
from app.errors import Conflict, InvalidInput
from app.models import Base, Heartbeat
from app.services import move_database
from app.services.logs import tallies, text_index
from app.utils.clock import utc_now
from scripts.local.postgres import Postgres
from tests.conftest import forget
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate, log
from tests.integration.alerts.stories import make_action, make_rule
from tests.kits.pgbouncer import PgBouncer
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

NAME = "moved_here"


@pytest.fixture
def target(postgres: Postgres) -> Iterator[str]:
    """An empty database without a schema."""
    postgres.create_database(NAME)
    yield postgres.url(NAME)
    postgres.drop_database(NAME)


@pytest.fixture
def feed(database: str) -> Feed:  # the database to feed
    feed = Feed(START - timedelta(days=70))
    make_rule(group_by=["from"])
    make_action()
    feed.store([log(number, minutes(number), text="tab\t, \\ and\nline ✓") for number in range(300)], minutes(300))
    feed.store([log(900, START - timedelta(days=60))], minutes(300))
    evaluate(minutes(301))
    text_index.catch_up(get_settings(), 60)
    tallies.catch_up(START + timedelta(days=1), START - timedelta(days=90), 60)
    return feed


def move(url: str) -> list[str]:
    return list(move_database.move(url, get_settings(), utc_now()))


def content(url: str) -> dict[str, Any]:
    """How many rows each table has, and one digest of them all."""
    found = {}
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for table in Base.metadata.sorted_tables:
            rows = f'SELECT CAST(t AS text) AS row FROM "{table.name}" AS t'  # the product's own tables
            cursor.execute(f"SELECT count(*), md5(string_agg(row, ',' ORDER BY row)) FROM ({rows}) AS all_rows")
            found[table.name] = cursor.fetchone()
    connection.close()
    return found


def test_every_row_of_every_table_arrives(feed: Feed, database: str, target: str) -> None:
    said = move(target)
    before, after = content(database), content(target)
    assert after == before
    assert before["logs"][0] == 301
    assert before["alerts"][0]
    assert before["deliveries"][0]
    assert "logs: 301 rows" in said
    assert said[-1].startswith("All is there. Set DATABASE_URL to this address (postgresql://")


def test_giftpulse_continues_on_the_other_database(feed: Feed, target: str, environment: pytest.MonkeyPatch) -> None:
    move(target)
    environment.setenv("DATABASE_URL", target)
    forget()
    feed.store([log(1000 + number, minutes(310)) for number in range(20)], minutes(311))
    evaluate(minutes(312))
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM logs")) == 321
        assert session.scalar(text("SELECT max(occurrences) FROM alerts")) == 320


def test_a_database_with_rows_is_left_alone(feed: Feed, database: str, target: str) -> None:
    move(target)
    before = content(target)
    with pytest.raises(Conflict, match="not empty: its table accounts has rows"):
        move(target)
    assert content(target) == before
    with pytest.raises(Conflict, match="not empty"):
        move(database)


def test_nothing_is_moved_while_something_runs(feed: Feed, target: str) -> None:
    with session_scope() as session:
        seen = utc_now() - timedelta(seconds=20)
        session.add_all(Heartbeat(name=name, seen_at=seen) for name in ("sent", "worker", "beat"))
    with pytest.raises(Conflict, match=r"^beat and worker still ran a moment ago: stop all processes"):
        move(target)
    with session_scope() as session:
        session.execute(text("UPDATE heartbeats SET seen_at = seen_at - interval '1 hour' WHERE name <> 'sent'"))
    assert move(target)


def test_a_failure_on_the_way_leaves_no_row_and_it_can_begin_again(
    feed: Feed, database: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise psycopg2.OperationalError("the network went away")

    with monkeypatch.context() as patched:
        patched.setattr(move_database, "_set_sequences", fail)
        with pytest.raises(Conflict, match="nothing was moved"):
            move(target)
    assert content(target)["logs"][0] == 0
    move(target)
    assert content(target) == content(database)


def waits_for(database: str, statement: str) -> bool:
    """Say whether a statement that begins like this waits for a lock."""
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        query = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s)"
        cursor.execute(query, (f"{statement}%",))
        [(found,)] = cursor.fetchall()
    connection.close()
    return bool(found)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_is_interrupted_half_way_leaves_no_row_and_can_be_repeated(
    feed: Feed, database: str, target: str, pooled: str, pgbouncer: PgBouncer, by: signal.Signals
) -> None:
    with psycopg2.connect(database) as blocker:
        blocker.cursor().execute("LOCK rules IN ACCESS EXCLUSIVE MODE")
        command = [sys.executable, "-m", "app", "move-database", pgbouncer.url(NAME)]
        moving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: waits_for(database, 'COPY (SELECT "id", "slug"'), "the rules are copied")
        moving.send_signal(by)
    blocker.close()
    out, err = moving.communicate(timeout=PATIENCE_SECONDS)
    assert moving.returncode
    assert ("giftpulse: interrupted: nothing was moved" in err) == (by == signal.SIGINT), err
    assert "logs: 301 rows" in out
    assert "All is there" not in out
    wait_until(lambda: content(target)["logs"][0] == 0, "the other database is empty")
    assert move(pgbouncer.url(NAME))
    assert content(target) == content(database)


def test_an_older_schema_is_refused(feed: Feed, target: str) -> None:
    with session_scope() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    try:
        with pytest.raises(Conflict, match=r"has the schema 0001, not .*: run alembic upgrade head first"):
            move(target)
    finally:
        with psycopg2.connect(target) as connection, connection.cursor() as cursor, session_scope() as session:
            cursor.execute("SELECT version_num FROM alembic_version")
            [(head,)] = cursor.fetchall()
            session.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": head})
        connection.close()


@pytest.mark.parametrize("url", ["mysql://somewhere/else", "nonsense"])
def test_an_address_that_is_none_is_refused(database: str, url: str) -> None:
    with pytest.raises(InvalidInput):
        move(url)


def test_a_server_that_does_not_answer_is_named_without_its_password(database: str) -> None:
    with pytest.raises(Conflict) as refused:
        move("postgresql://ann:canary@127.0.0.1:9/none")
    assert "canary" not in str(refused.value)
