"""What one poll of a stream lists: its head, before it a backlog in slices, after it what may have come late. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from app.enums import LogType

OVERLAP = timedelta(minutes=10)
"""Every poll reads this much again: a log may become visible so late."""
ERROR_OVERLAP = timedelta(minutes=60)
"""Of the error log: whether its filter goes by the time an entry was generated or stored is not documented."""
MAX_HEAD = timedelta(hours=30)
"""A stream further behind than this is read in slices first."""
ALLOWANCE = timedelta(seconds=60)
"""What was created in the last moments before a read began need not have been visible to it."""
HISTORY = {
    LogType.CALL: timedelta(days=400),
    LogType.MESSAGE: timedelta(days=400),
    LogType.ERROR: timedelta(days=30) - timedelta(hours=1),
}
"""How far back Twilio tells: 30 days of the error log, 400 of messages; of calls we ask no more."""
ONE_DAY = timedelta(days=1)

MIN_SWEEP_DEPTH = timedelta(minutes=12, seconds=30)
"""What becomes visible within ten minutes is found by the overlap, before its age has grown by a quarter."""
SWEEP_GROWTH = 2.7
"""Each sweep goes so many times further back than the one before it: the fewest requests are spent near e."""
SWEEP_INTERVAL_RATIO = 0.25
ENDED_SWEEP_INTERVAL = timedelta(minutes=15)
"""How often the calls that ended lately are listed: long calls began before any other listing."""


@dataclass(frozen=True)
class Slice:
    """One listing of the stream."""

    since: datetime
    """Read back to here. Lists of calls and messages come newest first, and their filters know only whole days."""
    until: datetime | None
    """Read from here; None: from the newest."""


@dataclass(frozen=True)
class Gap:
    """A span that nobody can read any more."""

    since: datetime
    until: datetime
    reason: str


@dataclass(frozen=True)
class Plan:
    """What to list, in this order, so that nothing is left out but the gap."""

    since: datetime
    gap: Gap | None
    slices: tuple[Slice, ...]
    """Whole UTC days where there is a backlog, then the head, which is always the last."""


def plan_poll(
    log_type: LogType,
    complete_from: datetime | None,
    complete_until: datetime | None,
    read_from: datetime | None,
    now: datetime,
    backfill: timedelta,
    retention: timedelta,
) -> Plan:
    """Plan the listings that leave out nothing created before `now`.

    Args:
        backfill: how far back the first poll of a stream reads.
        retention: what is older is not kept.
    """
    overlap = ERROR_OVERLAP if log_type == LogType.ERROR else OVERLAP
    since = complete_until - overlap if complete_until else complete_from or now - backfill
    oldest = now - min(HISTORY[log_type], retention)
    gap = None
    if since < oldest:
        oldest_listed = "Twilio tells no more" if HISTORY[log_type] <= retention else "RETENTION_DAYS keeps no more"
        gap = Gap(complete_until, oldest, oldest_listed) if complete_until and complete_until < oldest else None
        since = oldest
    return Plan(since, gap, _slices(log_type, since, max(since, read_from or since), now, overlap))


def _slices(
    log_type: LogType, since: datetime, read_from: datetime, now: datetime, overlap: timedelta
) -> tuple[Slice, ...]:
    """Cut a span into listings. The filters of calls and messages drop what has no time yet: the head finds that."""
    if now - since <= MAX_HEAD:
        return (Slice(max(since, read_from - overlap) if log_type == LogType.ERROR else since, None),)
    planned = []
    midnight = datetime.combine(read_from.astimezone(UTC).date(), time(), UTC)
    while midnight + ONE_DAY <= now:
        planned.append(Slice(max(read_from, midnight), midnight + ONE_DAY))
        midnight += ONE_DAY
    back_to = max(read_from, midnight) - overlap if log_type == LogType.ERROR else since
    return (*planned, Slice(max(since, back_to), None))


def sweep_depths(farthest: timedelta) -> list[timedelta]:
    """List how far back sweeps go, each farther than the one before, the last exactly `farthest`."""
    depths = []
    depth = MIN_SWEEP_DEPTH
    while depth < farthest:
        depth = min(depth * SWEEP_GROWTH, farthest)
        depths.append(depth)
    return depths


def due_sweep(swept_at: Mapping[str, Any], now: datetime, next_poll: datetime, farthest: timedelta) -> timedelta | None:
    """Say how far back to list again now, so that whatever becomes visible late is found before it is a quarter older.

    Args:
        swept_at: when the list was last read back so far, by seconds.
        next_poll: what can wait until then waits.
    Returns: the farthest sweep that is due; it does for all nearer ones.
    """
    found = None
    nearer = MIN_SWEEP_DEPTH
    for depth in sweep_depths(farthest):
        # The youngest log that only this sweep finds has an age of `nearer / 1.25` when it becomes visible.
        longest_wait = nearer / (1 + SWEEP_INTERVAL_RATIO) * SWEEP_INTERVAL_RATIO
        last = _last(swept_at, depth)
        if last is None or (last < now and next_poll > last + longest_wait):
            found = depth
        nearer = depth
    return found


def sweep_since(swept_at: Mapping[str, Any], depth: timedelta, now: datetime, farthest: timedelta) -> datetime:
    """Say from when on a sweep lists.

    The farthest goes on where the last of its kind began: after an outage, however long, that finds what became
    visible meanwhile and would be too old by now.
    """
    last = _last(swept_at, depth) if depth == farthest else None
    return min(now, last or now) - depth


def record_sweep(
    swept_at: Mapping[str, Any], since: datetime | None, at: datetime, farthest: timedelta
) -> dict[str, Any]:
    """Note what a reading that began at `at` and went back to `since` did for; None: it went back as far as can be."""
    depths = [
        depth
        for depth in sweep_depths(farthest)
        if since is None or since <= sweep_since(swept_at, depth, at, farthest)
    ]
    return {**swept_at, **{_key(depth): at.isoformat() for depth in depths}}


def ended_sweep_is_due(swept_at: Mapping[str, Any], now: datetime) -> bool:
    """Say whether the calls that ended lately are to be listed."""
    last = swept_at.get("ended")
    return last is None or datetime.fromisoformat(last) + ENDED_SWEEP_INTERVAL <= now


def _key(depth: timedelta) -> str:
    return str(int(depth.total_seconds()))


def _last(swept_at: Mapping[str, Any], depth: timedelta) -> datetime | None:
    """Find when the list was last read back at least so far."""
    seconds = int(depth.total_seconds())
    times = [datetime.fromisoformat(at) for key, at in swept_at.items() if key.isdigit() and int(key) >= seconds]
    return max(times, default=None)
