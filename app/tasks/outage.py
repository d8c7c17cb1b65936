"""Reports that the database is unavailable: one line a minute for all processes of a worker."""

import struct
import time
from mmap import mmap

import structlog

from app.tasks.slots import slot
from app.utils import database_errors

EVERY_SECONDS = 60.0

_reported_at = mmap(-1, 8)
"""By the machine's monotonic clock, which all processes share; 0: never."""
log = structlog.get_logger()


def report(error: Exception) -> None:
    """Log an outage, unless one of the worker's processes did so within the last minute."""
    with slot("report_outage") as taken:
        now = time.monotonic()
        (before,) = struct.unpack("d", _reported_at[:])
        if taken and (before == 0 or now - before >= EVERY_SECONDS):
            _reported_at[:] = struct.pack("d", now)
            log.error(database_errors.explain(error), error=type(error).__name__, retried="at the next tick")
