"""Retries for transient database failures."""

import random
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog
from psycopg2.errorcodes import DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE, SERIALIZATION_FAILURE
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

OUTAGE_WAITS_SECONDS = (0.2, 1.0, 3.0, 10.0)
"""Delays between retries during an outage."""
CONFLICT_WAITS_SECONDS = (0.05, 0.2, 0.8)
"""Approximate delays between retries after PostgreSQL aborted a transaction because of a conflict."""

log = structlog.get_logger()
T = TypeVar("T")


def is_transient(error: BaseException) -> bool:
    """Return whether the database is unavailable or busy, as opposed to rejecting the statement."""
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeout)):
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_conflict(error: BaseException) -> bool:
    """Return whether PostgreSQL aborted the transaction because of a conflict: it can be retried immediately."""
    return _code(error) in (DEADLOCK_DETECTED, SERIALIZATION_FAILURE)


def is_contended(error: BaseException) -> bool:
    """Return whether other transactions were in the way, by a conflict or a lock. The database works."""
    return is_conflict(error) or _code(error) == LOCK_NOT_AVAILABLE


def _code(error: BaseException) -> str | None:
    return getattr(error.orig, "pgcode", None) if isinstance(error, DBAPIError) else None


def retry_on_conflict(work: Callable[[], T]) -> T:
    """Run `work`, retrying up to three times on transaction conflicts. `work` must be repeatable."""
    for wait in (*CONFLICT_WAITS_SECONDS, None):
        try:
            return work()
        except DBAPIError as error:
            if wait is None or not is_conflict(error):
                raise
            time.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - chance is no secret
    raise AssertionError


def run_all(steps: Iterable[Callable[[], int]]) -> int:
    """Run all steps even if some fail, and return the sum of their results.

    Raises: at the end, the first failure; immediately, an outage or a conflict: it would affect the other steps, too,
        and everything is repeated.
    """
    total, failed = 0, None
    for step in steps:
        try:
            total += step()
        except Exception as error:
            if is_transient(error) or is_conflict(error):
                raise
            log.exception("a step failed; the others continue")
            failed = failed or error
    if failed is not None:
        raise failed
    return total
