"""The schema: made from nothing and taken back, the same as the models, by one process at a time."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.orm import Session

from app.models import Base
from app.services.logs import tallies
from scripts.local.postgres import Postgres
from tests.conftest import migrate
from tests.kits.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """The address of a database with nothing in it."""
    postgres.create_database("test_migrations")
    yield postgres.url("test_migrations")
    postgres.drop_database("test_migrations")


def _engine(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))


def _tables(url: str) -> set[str]:
    engine = _engine(url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def test_the_schema_is_made_from_nothing_and_taken_back(empty: str) -> None:
    migrate(empty)
    made = _tables(empty)
    assert set(Base.metadata.tables) <= made
    migrate(empty, "base")
    assert _tables(empty) <= {"alembic_version"}
    migrate(empty)
    assert _tables(empty) == made


def test_the_migrations_make_what_the_models_say(database: str) -> None:
    def ours(item: object, name: str | None, kind: str, reflected: bool, compare_to: object) -> bool:
        return not (kind == "table" and reflected and name not in Base.metadata.tables)

    engine = _engine(database)
    with engine.connect() as connection:
        options = {"include_object": ours, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
    engine.dispose()


KEPT_BY_0001 = """
    INSERT INTO rules (
        id, name, description, enabled, severity, log_type, filters, pattern_type, condition, group_by,
        resolve_after_minutes, cooldown_minutes, started_at, created_at, updated_at
    ) VALUES (
        :rule, 'Rule', '', true, 'info', 'any', '{}', 'any', '{"type": "ratio", "window_minutes": 600}', '{}',
        60, 10, now(), now(), now()
    );
    INSERT INTO seen_values VALUES (:rule, 1, '{}', '"GB"', '2026-01-01Z', '2026-01-02Z');
    INSERT INTO rule_groups VALUES (:rule, 1, '{}', '2026-01-02Z');
    INSERT INTO matches (rule_id, log_id, epoch, occurred_at, changed_at, sid, account_id, group_key, held, novel)
    VALUES (:rule, 1, 1, now(), now(), 'SM1', 1, '{}', true, true);
    INSERT INTO minute_counts SELECT :rule, 1, CAST('2026-01-01Z' AS timestamptz) + number * interval '1 minute',
        '{}', 2, 1, 0 FROM generate_series(1, 90) AS number;
"""


def test_known_values_survive_revision_0002_and_its_downgrade(empty: str) -> None:
    migrate(empty, "0001")
    engine = _engine(empty)
    with engine.begin() as connection:
        connection.execute(text(KEPT_BY_0001), {"rule": "0" * 32})
    migrate(empty, "0002")
    with engine.begin() as connection:
        hours = connection.execute(text("SELECT total, matched FROM hour_counts ORDER BY hour")).all()
        assert [tuple(row) for row in hours] == [(120, 60), (60, 30)]
        assert connection.scalar(text("SELECT first_match_at < last_match_at FROM rule_groups")) is True
        assert connection.scalar(text("SELECT new_value FROM matches")) == ""
        again = "INSERT INTO seen_values SELECT rule_id, epoch, group_key, value, '2026-06-01Z', '2026-06-01Z'"
        connection.execute(text(f"{again} FROM seen_values"))
    migrate(empty, "-1")
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT novel FROM matches")) is True
        assert connection.scalars(text("SELECT since_at > '2026-05-01Z' FROM seen_values")).all() == [True]
    engine.dispose()


KEPT_BY_0008 = """
    INSERT INTO minute_counts VALUES (:rule, 1, '2026-01-01Z', '{}', 2, 1, 5);
    INSERT INTO hour_counts VALUES (:rule, 1, '2026-01-01Z', '{}', 2, 1, 5);
"""
COUNTED_BY_0009 = """
    INSERT INTO {table} SELECT rule_id, epoch, {time}, group_key, 1, 1, 7, 'EUR' FROM {table};
    INSERT INTO {table} SELECT rule_id, epoch, {time} + interval '1 hour', group_key, 1, 1, 7, 'USD' FROM {table}
    WHERE unit = ''
"""


@pytest.mark.parametrize(("table", "time"), [("minute_counts", "minute"), ("hour_counts", "hour")])
def test_counts_survive_revision_0009_and_its_downgrade(empty: str, table: str, time: str) -> None:
    migrate(empty, "0008")
    engine = _engine(empty)
    with engine.begin() as connection:
        connection.execute(text(KEPT_BY_0008), {"rule": "0" * 32})
    migrate(empty, "0009")
    with engine.begin() as connection:
        assert connection.execute(text(f"SELECT unit, amount FROM {table}")).all() == [("", 5)]
        connection.execute(text(COUNTED_BY_0009.format(table=table, time=time)))
    migrate(empty, "-1")
    with engine.begin() as connection:
        counts = connection.execute(text(f"SELECT total, matched, amount FROM {table} ORDER BY {time}")).all()
        assert [tuple(row) for row in counts] == [(3, 2, 12), (1, 1, 7)]
    migrate(empty)
    engine.dispose()


TALLIED_BY_0015 = """
    INSERT INTO log_kinds (key, account_id, log_type, status, direction, final)
    VALUES ('k', 1, 'message', 'delivered', 'outbound-api', true);
    INSERT INTO log_tallies SELECT '2026-01-01Z', id, 3 FROM log_kinds;
    INSERT INTO sender_tallies SELECT '2026-01-01Z', id, '', 3 FROM log_kinds;
    INSERT INTO delay_tallies SELECT '2026-01-01Z', id, 946, 3 FROM log_kinds;
"""
TALLIES = ("log_kinds", "log_tallies", "sender_tallies", "delay_tallies")


@pytest.mark.parametrize(("before", "since"), [("0015", "0016"), ("0018", "0019")])
def test_hours_tallied_before_a_revision_are_counted_again(empty: str, before: str, since: str) -> None:
    """Those that a process of that version still counts afterwards, too."""
    migrate(empty, before)
    engine = _engine(empty)
    with engine.begin() as connection:
        connection.execute(text(TALLIED_BY_0015))
    migrate(empty, since)
    migrate(empty)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO log_tallies SELECT '2026-01-01 01:00Z', id, 4 FROM log_kinds"))
        connection.execute(text("INSERT INTO sender_tallies SELECT '2026-01-01 01:00Z', id, '', 4 FROM log_kinds"))
        assert connection.scalars(text("SELECT timed FROM delay_tallies")).all() == [0]
    with Session(engine) as session:
        midnight = datetime(2026, 1, 1, tzinfo=UTC)
        hours = [midnight, midnight + timedelta(hours=1)]
        assert tallies.untallied(session, midnight, midnight + timedelta(days=1)) == hours
    engine.dispose()


def test_revision_0016_taken_back_leaves_all_hours_to_be_counted(empty: str) -> None:
    migrate(empty, "0016")
    engine = _engine(empty)
    with engine.begin() as connection:
        connection.execute(text(TALLIED_BY_0015))
    migrate(empty, "-1")
    with engine.begin() as connection:
        midnight = datetime(2026, 1, 1, tzinfo=UTC)
        assert connection.scalars(text("SELECT hour FROM untallied_hours")).all() == [midnight]
        assert [connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in TALLIES] == [0] * 4
    migrate(empty)
    engine.dispose()


def test_revision_0019_taken_back_leaves_what_is_counted(empty: str) -> None:
    migrate(empty, "0019")
    engine = _engine(empty)
    with engine.begin() as connection:
        connection.execute(text(TALLIED_BY_0015))
        connection.execute(text("UPDATE sender_tallies SET price = 2, seconds = ARRAY[5], timed = ARRAY[3]"))
    migrate(empty, "-1")
    with engine.begin() as connection:
        assert [tuple(row)[2:] for row in connection.execute(text("SELECT * FROM sender_tallies"))] == [("", 3)]
        assert connection.scalar(text("SELECT count(*) FROM untallied_hours")) == 0
    migrate(empty)
    engine.dispose()


STREAMS_OF_0016 = """
    INSERT INTO accounts (id, sid, started_at) VALUES (1, 'AC1', now());
    INSERT INTO streams (id, account_id, log_type, due_at, complete_from, complete_until) VALUES
        (1, 1, 'call', now(), '2026-01-01Z', '2026-01-09Z'),
        (2, 1, 'message', now(), '2026-01-05Z', '2026-01-09Z'),
        (3, 1, 'error', now(), NULL, NULL);
    INSERT INTO coverage_gaps (stream_id, since, until, reason, noted_at)
    VALUES (2, '2026-01-03Z', '2026-01-05Z', 'r', now());
"""


def test_first_reads_are_known_after_revision_0017_where_no_gap_moved_them(empty: str) -> None:
    migrate(empty, "0016")
    engine = _engine(empty)
    with engine.begin() as connection:
        connection.execute(text(STREAMS_OF_0016))
    migrate(empty, "0017")
    with engine.begin() as connection:
        first = connection.scalars(text("SELECT first_from FROM streams ORDER BY id")).all()
        assert first == [datetime(2026, 1, 1, tzinfo=UTC), None, None]
        connection.execute(text("UPDATE streams SET first_from = '2026-01-02Z' WHERE id = 2"))
    migrate(empty, "-1")
    with engine.begin() as connection:
        complete = connection.execute(text("SELECT complete_from FROM streams ORDER BY id")).scalars().all()
        assert complete == [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 5, tzinfo=UTC), None]
    migrate(empty)
    engine.dispose()


ACTION = """
    INSERT INTO actions (id, action_type, enabled, min_severity, notify_on, config, created_at, updated_at)
    VALUES (:id, 'webhook', true, 'info', '{firing}', 'c', now(), now());
"""
DELIVERY = """
    INSERT INTO deliveries (id, action_id, action_type, type, recipient, status, content, created_at, bundle_until)
    VALUES (:id, :id, 'webhook', 'alert.firing', 'r', 'pending', '{}', now(), '2026-01-01Z');
"""


def test_what_is_held_waits_for_its_bundle_after_revision_0018_is_taken_back(empty: str) -> None:
    migrate(empty, "0017")
    engine = _engine(empty)
    with engine.begin() as connection:
        connection.execute(text(ACTION + DELIVERY), {"id": "0" * 32})
    migrate(empty, "0018")
    with engine.begin() as connection:
        assert connection.scalars(text("SELECT held_by FROM deliveries")).all() == [None]
        connection.execute(text("UPDATE deliveries SET held_by = 'silence'"))
    migrate(empty, "-1")
    with engine.begin() as connection:
        waiting = connection.execute(text("SELECT status, bundle_until FROM deliveries")).all()
        assert [tuple(row) for row in waiting] == [("pending", datetime(2026, 1, 1, tzinfo=UTC))]
    migrate(empty)
    with engine.begin() as connection:
        assert connection.scalars(text("SELECT held_by FROM deliveries")).all() == [None]
    engine.dispose()


def test_revision_0019_ends_bundles_of_firings_where_none_are_sent(empty: str) -> None:
    migrate(empty, "0018")
    engine = _engine(empty)
    with engine.begin() as connection:
        for number in (1, 2):
            connection.execute(text(ACTION), {"id": f"{number:032}"})
        connection.execute(text("UPDATE actions SET bundle_seconds = 60"))
        connection.execute(text("UPDATE actions SET notify_on = '{resolved}' WHERE id = :id"), {"id": f"{2:032}"})
    migrate(empty, "0019")
    with engine.begin() as connection:
        assert connection.scalars(text("SELECT bundle_seconds FROM actions ORDER BY id")).all() == [60, 0]
    engine.dispose()


def test_several_that_start_at_once_make_it_once(empty: str) -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": empty}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    racers = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(3)
    ]
    said = [racer.communicate(timeout=PATIENCE_SECONDS)[0].decode() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0], said
    engine = _engine(empty)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    engine.dispose()


def test_without_an_address_it_says_so_in_one_line() -> None:
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("giftpulse: DATABASE_URL is not set")
    assert done.stderr.decode().count("\n") == 1
