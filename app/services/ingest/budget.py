"""The request budget of an account: the most requests in any sixty seconds, counted over all workers."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select, text
from sqlalchemy.orm import Session

from app.database import session_scope
from app.models import RequestCount
from app.utils.clock import Clock

WINDOW = timedelta(seconds=61)
"""A minute, plus a second because the oldest request may have been sent at any moment within one."""
COUNT_RETENTION = timedelta(hours=2)
RESERVED_SHARE = 0.5
"""The share of the budget that rereads leave for listing new logs."""
MIN_WAIT_SECONDS = 0.01
LOCK_NAMESPACE = 7_400_007
"""The first of the two keys of these advisory locks; the second is the account's id."""

# Text, because each page of a list costs one of these, and building such statements takes three times as long.
_LOCK = text("SELECT pg_advisory_xact_lock(:namespace, :account_id)")
_COUNT = text("""
    INSERT INTO request_counts (account_id, minute, count)
    SELECT :account_id, :second, 1
    WHERE (
        SELECT coalesce(sum(count), 0) FROM request_counts
        WHERE account_id = :account_id AND minute > :since AND minute < :until
    ) < :per_minute
    ON CONFLICT (account_id, minute) DO UPDATE SET count = request_counts.count + 1
    RETURNING count
""")


def consume(session: Session, account_id: int, now: datetime, per_minute: int) -> bool:
    """Count one request. False, without counting it, if the budget is spent.

    Requests of an account are counted one at a time: the lock lasts until the transaction ends.
    """
    session.execute(_LOCK, {"namespace": LOCK_NAMESPACE, "account_id": account_id})
    asked = {"account_id": account_id, "second": now.replace(microsecond=0), "per_minute": per_minute}
    bounds = {"since": now - WINDOW, "until": now + WINDOW}
    return session.scalar(_COUNT, asked | bounds) is not None


def rate_limiter(
    account_id: int,
    per_minute: int,
    clock: Clock,
    sleep: Callable[[float], None],
    also: Callable[[Session], None] = lambda _: None,
) -> Callable[[], None]:
    """Return a function that counts a request before it is sent, and waits while the budget is spent.

    Args:    also: runs in the same transaction, again on every retry; it may raise.
    """

    def before_request() -> None:
        while True:
            with session_scope() as session:
                also(session)
                if consume(session, account_id, clock(), per_minute):
                    return
                wait = seconds_to_room(session, account_id, clock())
            sleep(wait)

    return before_request


def remaining(session: Session, account_id: int, now: datetime, per_minute: int) -> int:
    """Return how many requests the budget allows now."""
    spent = session.scalar(select(func.coalesce(func.sum(RequestCount.count), 0)).where(*_in_window(account_id, now)))
    return max(0, per_minute - int(spent or 0))


def has_room(session: Session, account_id: int, now: datetime, per_minute: int) -> bool:
    """Return whether requests remain beyond the reserve for new logs."""
    room = remaining(session, account_id, now, per_minute)
    return room > per_minute * RESERVED_SHARE or (room > 0 and per_minute == 1)


def seconds_to_room(session: Session, account_id: int, now: datetime) -> float:
    """Return the seconds until the oldest counted request expires. Never 0, so that callers do not spin."""
    oldest = session.scalar(select(func.min(RequestCount.second)).where(*_in_window(account_id, now)))
    wait = (oldest + WINDOW - now).total_seconds() if oldest else 0.0
    return max(MIN_WAIT_SECONDS, wait)


def _in_window(account_id: int, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Select the requests that count at `now`. Times far in the future come from a wrong clock and are ignored."""
    second = RequestCount.second
    return RequestCount.account_id == account_id, second > now - WINDOW, second < now + WINDOW


def used_last_hour(session: Session, account_ids: Sequence[int], now: datetime) -> dict[int, int]:
    """Count the requests of each account in the last sixty minutes; accounts without any are left out."""
    lately = (RequestCount.account_id.in_(account_ids), RequestCount.second > now - timedelta(hours=1))
    counts = select(RequestCount.account_id, func.sum(RequestCount.count)).where(*lately)
    return {account_id: int(used) for account_id, used in session.execute(counts.group_by(RequestCount.account_id))}


def delete_expired(session: Session, now: datetime) -> None:
    """Delete expired counts."""
    session.execute(delete(RequestCount).where(RequestCount.second < now - COUNT_RETENTION))
