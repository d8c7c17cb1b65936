"""What one poll of a stream reads: the head of its lists, and before it the backlog in slices, oldest first. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from app.enums import LogType

OVERLAP = timedelta(minutes=10)
"""Every poll reads this much again: a log may become visible so late."""
ERROR_OVERLAP = timedelta(minutes=60)
"""Of the error log: whether its filter goes by the time an entry was generated or stored is not documented."""
LONGEST_HEAD = timedelta(hours=6)
"""A stream further behind than this is read in slices first."""
ALLOWANCE = timedelta(seconds=60)
"""What was created in the last moments before a read began need not have been visible to it."""

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Slice:
    """One listing of the stream."""

    since: datetime
    """Read back to here. Lists of calls and messages come newest first, and their filters know only whole days."""
    until: datetime | None
    """Read from here; None: from the newest."""


def slices(
    log_type: LogType, complete_until: datetime | None, read_from: datetime | None, now: datetime, backfill: timedelta
) -> list[Slice]:
    """Say what to list, in this order, so that nothing created before `now` is left out.

    Args:    backfill: how far back the first poll of a stream reads.
    Returns: slices of whole UTC days where there is a backlog, then the head, which is always the last.
    """
    overlap = ERROR_OVERLAP if log_type == LogType.ERROR else OVERLAP
    since = read_from or (complete_until - overlap if complete_until else now - backfill)
    if now - since <= LONGEST_HEAD:
        return [Slice(since, None)]
    planned = []
    midnight = datetime.combine(since.astimezone(UTC).date(), time(), UTC)
    while midnight + ONE_DAY <= now:
        planned.append(Slice(max(since, midnight), midnight + ONE_DAY))
        midnight += ONE_DAY
    return [*planned, Slice(max(since, midnight) - overlap, None)]
