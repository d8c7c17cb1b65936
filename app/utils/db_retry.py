"""Which failures of a database pass by themselves, and how long to wait for that."""

import random
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog
from psycopg2.errorcodes import DEADLOCK_DETECTED, SERIALIZATION_FAILURE
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

OUTAGE_WAITS_SECONDS = (0.2, 1.0, 3.0, 10.0)
"""Before each further try of what is worth some patience."""
CONFLICT_WAITS_SECONDS = (0.05, 0.2, 0.8)
"""About so long before each further try of what PostgreSQL broke off in favour of another transaction."""

log = structlog.get_logger()
T = TypeVar("T")


def is_transient(error: BaseException) -> bool:
    """Say whether it is the database that failed, because it is away or busy, and not what was asked of it."""
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeout)):
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_conflict(error: BaseException) -> bool:
    """Say whether PostgreSQL broke a transaction off in favour of another: it can be done again at once."""
    codes = (DEADLOCK_DETECTED, SERIALIZATION_FAILURE)
    return isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) in codes


def retry_on_conflict(work: Callable[[], T]) -> T:
    """Do what may be begun anew at any time, up to three times more where it got entangled with other work."""
    for wait in (*CONFLICT_WAITS_SECONDS, None):
        try:
            return work()
        except DBAPIError as error:
            if wait is None or not is_conflict(error):
                raise
            time.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - chance is no secret
    raise AssertionError


def run_all(steps: Iterable[Callable[[], int]]) -> int:
    """Do every step, whatever becomes of the ones before it, and return the sum of what they return.

    Raises: at the end, what the first step that failed raised; at once, what fails because the database is away or
        transactions got entangled: it would fail the others as well, and all is begun anew.
    """
    total, failed = 0, None
    for step in steps:
        try:
            total += step()
        except Exception as error:
            if is_transient(error) or is_conflict(error):
                raise
            log.exception("a step failed; those after it go on")
            failed = failed or error
    if failed is not None:
        raise failed
    return total
