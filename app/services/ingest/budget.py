"""The request budget of an account: how many requests it may cost a minute, counted over all workers."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.database import session_scope
from app.models import RequestCount

KEPT = timedelta(hours=25)
RESERVE = 0.5
"""The share of a minute's budget that reading again leaves to listing what is new."""


def minute_of(now: datetime) -> datetime:
    """Return the minute that a request at `now` is counted in."""
    return now.replace(second=0, microsecond=0)


def seconds_to_next_minute(now: datetime) -> float:
    """Say how long it is until the next minute's budget; never nothing, or a wait would turn into a race."""
    return max(0.01, (minute_of(now) + timedelta(minutes=1) - now).total_seconds())


def take(session: Session, account_id: int, now: datetime, per_minute: int) -> bool:
    """Count one request; False, and nothing counted, where the minute's budget is spent."""
    statement = insert(RequestCount).values(account_id=account_id, minute=minute_of(now), count=1)
    statement = statement.on_conflict_do_update(
        index_elements=[RequestCount.account_id, RequestCount.minute],
        set_={"count": RequestCount.count + 1},
        where=RequestCount.count < per_minute,
    )
    return session.scalar(statement.returning(RequestCount.count)) is not None


def waiter(
    account_id: int,
    per_minute: int,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    also: Callable[[Session], None] = lambda _: None,
) -> Callable[[], None]:
    """Make what counts a request before it is sent, and waits while the minute's budget is spent.

    Args:    also: done in the same transaction, however often it is tried; it may raise.
    """

    def before_request() -> None:
        while True:
            with session_scope() as session:
                also(session)
                if take(session, account_id, clock(), per_minute):
                    return
            sleep(seconds_to_next_minute(clock()))

    return before_request


def left(session: Session, account_id: int, now: datetime, per_minute: int) -> int:
    """Say how many requests the present minute still allows."""
    spent = session.scalar(
        select(RequestCount.count).where(RequestCount.account_id == account_id, RequestCount.minute == minute_of(now))
    )
    return max(0, per_minute - (spent or 0))


def has_room(session: Session, account_id: int, now: datetime, per_minute: int) -> bool:
    """Say whether the present minute has room beyond what is kept for listing what is new."""
    room = left(session, account_id, now, per_minute)
    return room > per_minute * RESERVE or (room > 0 and per_minute == 1)


def used_last_hour(session: Session, account_id: int, now: datetime) -> int:
    """Count the requests of the last sixty minutes."""
    query = select(func.coalesce(func.sum(RequestCount.count), 0))
    hour = minute_of(now) - timedelta(minutes=59)
    return int(session.scalar(query.where(RequestCount.account_id == account_id, RequestCount.minute >= hour)) or 0)


def forget(session: Session, now: datetime) -> None:
    """Delete the counts that nobody asks for any more."""
    session.execute(delete(RequestCount).where(RequestCount.minute < now - KEPT))
