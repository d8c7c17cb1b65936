"""The database fixture itself, and what the product promises of sessions."""

import pytest
from sqlalchemy import text

from app.bulk import Unnest
from app.database import after_commit, session_scope
from app.models import Heartbeat
from app.utils.clock import utc_now


@pytest.mark.parametrize("_", [1, 2])
def test_each_test_begins_with_an_empty_database(database: str, _: int) -> None:
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM heartbeats")) == 0
        session.add(Heartbeat(name="beat", seen_at=utc_now()))


def test_a_block_that_raises_stores_nothing(database: str) -> None:
    with pytest.raises(RuntimeError, match="stop"), session_scope() as session:
        session.add(Heartbeat(name="beat", seen_at=utc_now()))
        session.flush()
        raise RuntimeError("stop")
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM heartbeats")) == 0


def test_after_commit_waits_for_the_transaction_not_a_savepoint(database: str) -> None:
    calls: list[str] = []
    with session_scope() as session:
        after_commit(session, lambda: calls.append("outer"))
        with session.begin_nested():
            after_commit(session, lambda: calls.append("inner"))
            session.execute(text("SELECT 1"))
        assert calls == []
    assert calls == ["outer", "inner"]


def test_times_come_back_aware_and_in_utc(database: str) -> None:
    now = utc_now()
    with session_scope() as session:
        session.add(Heartbeat(name="beat", seen_at=now))
    with session_scope() as session:
        assert session.scalar(text("SELECT seen_at FROM heartbeats")) == now


def test_the_broker_answers(broker: str, valkey: object) -> None:
    assert broker.startswith("redis://")


@pytest.mark.parametrize("rows", [[], [(1, "a"), (2, None)]])
def test_rows_go_into_a_statement_as_a_table(database: str, rows: list[tuple[int, str | None]]) -> None:
    asked = Unnest("asked", id="int", name="text")
    with session_scope() as session:
        found = session.execute(text(f"SELECT id, name FROM {asked} ORDER BY id"), asked.values(rows)).all()
    assert [tuple(row) for row in found] == rows
