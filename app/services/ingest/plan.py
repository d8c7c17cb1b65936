"""Plans what one poll of a stream lists: first a backlog in slices, then the head, then sweeps for late logs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from app.enums import LogType

OVERLAP = timedelta(minutes=10)
"""Every poll reads this much again, because a log may become visible this late."""
ERROR_OVERLAP = timedelta(minutes=60)
"""For the error log. Twilio does not document whether its filter uses generation or storage time."""
MAX_HEAD = timedelta(hours=30)
"""A stream that is further behind is first read in slices."""
ALLOWANCE = timedelta(seconds=60)
"""Records created this shortly before a read may not have been visible to it."""
HISTORY = {
    LogType.CALL: timedelta(days=400),
    LogType.MESSAGE: timedelta(days=400),
    LogType.ERROR: timedelta(days=30) - timedelta(hours=1),
}
"""How far back Twilio lists: 30 days of the error log, 400 of messages. We read no more of calls."""
ONE_DAY = timedelta(days=1)

MIN_SWEEP_DEPTH = timedelta(minutes=12, seconds=30)
"""The overlap finds logs that become visible within ten minutes, before their age has grown by a quarter."""
SWEEP_GROWTH = 2.7
"""Each sweep goes this many times further back than the previous one. Values near e need the fewest requests."""
SWEEP_INTERVAL_RATIO = 0.25
ENDED_SWEEP_INTERVAL = timedelta(minutes=15)
"""How often recently ended calls are listed: long calls began before any other listing."""


@dataclass(frozen=True)
class Slice:
    """One listing of the stream."""

    since: datetime
    """Read back to here. Lists of calls and messages are newest first; their filters know only whole days."""
    until: datetime | None
    """Read from here; None for the newest."""


@dataclass(frozen=True)
class Gap:
    """A span that can no longer be read."""

    since: datetime
    until: datetime
    reason: str


@dataclass(frozen=True)
class Plan:
    """The listings of a poll, in order. Together they omit nothing but the gap."""

    since: datetime
    gap: Gap | None
    slices: tuple[Slice, ...]
    """Whole UTC days if there is a backlog, then the head, always last."""


def plan_poll(
    log_type: LogType,
    complete_from: datetime | None,
    complete_until: datetime | None,
    read_from: datetime | None,
    now: datetime,
    backfill: timedelta,
    retention: timedelta,
) -> Plan:
    """Plan listings that omit nothing created before `now`.

    Args:
        backfill: how far back the first poll of a stream reads.
        retention: older logs are not kept.
    """
    overlap = ERROR_OVERLAP if log_type == LogType.ERROR else OVERLAP
    since = complete_until - overlap if complete_until else complete_from or now - backfill
    oldest = now - min(HISTORY[log_type], retention)
    gap = None
    if since < oldest:
        oldest_listed = "Twilio no longer lists it" if HISTORY[log_type] <= retention else "older than RETENTION_DAYS"
        gap = Gap(complete_until, oldest, oldest_listed) if complete_until and complete_until < oldest else None
        since = oldest
    return Plan(since, gap, _slices(log_type, since, max(since, read_from or since), now, overlap))


def _slices(
    log_type: LogType, since: datetime, read_from: datetime, now: datetime, overlap: timedelta
) -> tuple[Slice, ...]:
    """Split a span into listings. Filters on calls and messages drop records without a time; the head finds those."""
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
    """List the depths of all sweeps in ascending order. The last one is exactly `farthest`."""
    depths = []
    depth = MIN_SWEEP_DEPTH
    while depth < farthest:
        depth = min(depth * SWEEP_GROWTH, farthest)
        depths.append(depth)
    return depths


def due_sweep(swept_at: Mapping[str, Any], now: datetime, next_poll: datetime, farthest: timedelta) -> timedelta | None:
    """Return how far back to list now, so that late logs are found before their age grows by a quarter.

    Args:
        swept_at: the last sweep of each depth in seconds.
        next_poll: sweeps that can wait until then do.
    Returns: the farthest sweep that is due; it replaces all nearer ones.
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
    """Return where a sweep starts.

    The farthest sweep continues where its previous one began. After an outage of any length, that finds logs that
    became visible meanwhile and would be too old by now.
    """
    last = _last(swept_at, depth) if depth == farthest else None
    return min(now, last or now) - depth


def record_sweep(
    swept_at: Mapping[str, Any], since: datetime | None, at: datetime, farthest: timedelta
) -> dict[str, Any]:
    """Record which sweeps a listing replaced that began at `at` and went back to `since` (None: as far as possible)."""
    depths = [
        depth
        for depth in sweep_depths(farthest)
        if since is None or since <= sweep_since(swept_at, depth, at, farthest)
    ]
    return {**swept_at, **{_key(depth): at.isoformat() for depth in depths}}


def ended_sweep_is_due(swept_at: Mapping[str, Any], now: datetime) -> bool:
    """Return whether recently ended calls are due to be listed."""
    last = swept_at.get("ended")
    return last is None or datetime.fromisoformat(last) + ENDED_SWEEP_INTERVAL <= now


def _key(depth: timedelta) -> str:
    return str(int(depth.total_seconds()))


def _last(swept_at: Mapping[str, Any], depth: timedelta) -> datetime | None:
    """Return when the list was last read back at least this far."""
    seconds = int(depth.total_seconds())
    times = [datetime.fromisoformat(at) for key, at in swept_at.items() if key.isdigit() and int(key) >= seconds]
    return max(times, default=None)
