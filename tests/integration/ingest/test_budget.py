"""The request budget: no sixty seconds hold more, wherever they begin and however many workers ask."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.database import session_scope
from app.models import Account
from app.services.ingest import budget
from tests.fakes import START, FrozenClock

LIMIT = 20


@pytest.fixture
def account(database: str) -> int:
    with session_scope() as session:
        session.add(Account(sid="AC" + "0" * 32, started_at=START))
        session.flush()
        return session.scalars(select(Account.id)).one()


def test_no_sixty_seconds_hold_more_than_the_budget(account: int, clock: FrozenClock) -> None:
    chance = random.Random(7)
    taken = []
    with session_scope() as session:
        for _ in range(400):
            clock.advance(seconds=chance.choice((0, 0.01, 0.3, 2.7, 15)))
            if budget.consume(session, account, clock.now, LIMIT):
                taken.append(clock.now)
    most = max(sum(at <= other < at + timedelta(seconds=60) for other in taken) for at in taken)
    assert most == LIMIT


def test_requests_at_the_end_of_a_minute_count_at_the_start_of_the_next(account: int, clock: FrozenClock) -> None:
    clock.now = clock.now.replace(second=59)
    with session_scope() as session:
        assert all(budget.consume(session, account, clock.now, LIMIT) for _ in range(LIMIT))
        assert not budget.consume(session, account, clock.advance(seconds=2), LIMIT)
        assert not budget.has_room(session, account, clock.now, LIMIT)
        clock.advance(seconds=budget.seconds_to_room(session, account, clock.now))
        assert budget.consume(session, account, clock.now, LIMIT)
        assert budget.used_last_hour(session, [account], clock.now) == {account: LIMIT + 1}


def test_workers_that_ask_at_once_get_no_more_together(account: int, clock: FrozenClock) -> None:
    def ask(_: int) -> bool:
        with session_scope() as session:
            return budget.consume(session, account, clock.now, LIMIT)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(60))) == LIMIT


def test_a_clock_that_was_an_hour_ahead_blocks_nothing(account: int, clock: FrozenClock) -> None:
    with session_scope() as session:
        assert all(budget.consume(session, account, clock.now + timedelta(hours=1), LIMIT) for _ in range(LIMIT))
        assert budget.consume(session, account, clock.now, LIMIT)
