"""Counters are written with the transaction that did the work, after everything else in it."""

from collections.abc import Mapping

import pytest
from sqlalchemy import text

from app import metrics
from app.database import session_scope

CALLS = metrics.LOGS_CHANGED.increment(log_type="call")
MESSAGES = metrics.LOGS_CHANGED.increment(log_type="message")


def stored() -> Mapping[str, float]:
    with session_scope() as session:
        rows = session.execute(text("SELECT labels::json ->> 'log_type', value FROM counters")).all()
    return {log_type: value for log_type, value in rows}  # noqa: C416  # rows


def test_transactions_that_count_in_opposite_order_do_not_wait_for_each_other(database: str) -> None:
    with session_scope() as first, session_scope() as second:
        second.execute(text("SET LOCAL lock_timeout = '1s'"))
        metrics.count(first, CALLS)
        metrics.count(second, MESSAGES)
        metrics.count(first, MESSAGES)
        metrics.count(second, CALLS)
        second.commit()
    assert stored() == {"call": 2, "message": 2}


def test_what_is_rolled_back_is_not_counted(database: str) -> None:
    with pytest.raises(RuntimeError), session_scope() as session:
        metrics.count(session, CALLS)
        raise RuntimeError
    with session_scope() as session:
        metrics.count(session, CALLS)
        session.rollback()
        metrics.count(session, MESSAGES)
    assert stored() == {"message": 1}


def test_what_a_savepoint_takes_back_is_not_counted(database: str) -> None:
    with session_scope() as session:
        metrics.count(session, CALLS)
        with session.begin_nested() as outer:
            metrics.count(session, CALLS)
            with session.begin_nested():
                metrics.count(session, CALLS)
            outer.rollback()
        with session.begin_nested():
            metrics.count(session, MESSAGES)
    assert stored() == {"call": 1, "message": 1}
