"""Reports that the database is unavailable, or that another change held what a task needs.

One line a minute of each for all processes of a worker.
"""

import struct
import time
from mmap import mmap

import structlog

from app.tasks.slots import slot
from app.utils import database_errors
from app.utils.db_retry import is_contended

EVERY_SECONDS = 60.0

_TIME = struct.Struct("d")
_reported_at = mmap(-1, 2 * _TIME.size)
"""Of an outage, and of contention, by the machine's monotonic clock, which all processes share; 0: never."""
log = structlog.get_logger()


def report(error: Exception) -> None:
    """Log why a task ended early, unless one of the worker's processes did so within the last minute."""
    contended = is_contended(error)
    with slot("report_outage") as taken:
        if not taken or not _is_due(_TIME.size if contended else 0):
            return
        if contended and (found := database_errors.find(error)) is not None:
            fields = database_errors.describe(found)
            log.warning("another change holds what this task needs", **fields, retried="at the next tick")
        else:
            log.error(database_errors.explain(error), error=type(error).__name__, retried="at the next tick")


def _is_due(offset: int) -> bool:
    """Return whether nothing was reported for a minute, and remember that it is now."""
    now = time.monotonic()
    (before,) = _TIME.unpack_from(_reported_at, offset)
    if before and now - before < EVERY_SECONDS:
        return False
    _TIME.pack_into(_reported_at, offset, now)
    return True
