"""The traffic of the overview: counts of a time range, and of the same range a week before if that was read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.database import session_scope
from app.enums import LogType
from app.services.ingest import coverage
from app.services.logs import codes, stats
from app.services.logs.codes import Code
from app.services.logs.search import LogFilter
from app.utils.clock import cut_to_second, utc_now

WEEK = timedelta(days=7)
FAILED = ("failed", "undelivered")
MAX_ROWS = 6


@dataclass(frozen=True)
class Range:
    """A time range of the overview, and the buckets of its plots."""

    length: timedelta
    bucket: str
    words: str


RANGES = {
    "1h": Range(timedelta(hours=1), "minute", "the last hour"),
    "24h": Range(timedelta(hours=24), "hour", "24 hours"),
    "7d": Range(timedelta(days=7), "hour", "7 days"),
    "30d": Range(timedelta(days=30), "day", "30 days"),
}


Deliveries = Mapping[datetime, tuple[int, int]]
"""By bucket: how many of the final outbound messages were delivered, and how many there were."""


@dataclass(frozen=True)
class Traffic:
    """The counts of one time range. Those of the week before are empty if it was not completely read."""

    since: datetime
    until: datetime
    starts: Sequence[datetime]
    messages: dict[tuple[datetime, bool], int]
    """By bucket and whether they failed."""
    calls: dict[tuple[datetime, bool], int]
    messages_before: int
    calls_before: int
    delivered: Deliveries
    delivered_before: Deliveries
    codes: Sequence[tuple[Code, int, Sequence[int]]]
    """Each with its logs, in all and by bucket."""


def read_traffic(name: str) -> Traffic:
    """Read the traffic of a range, which ends now."""
    span, until = RANGES[name], cut_to_second(utc_now())
    since = until - span.length
    before = since - WEEK, until - WEEK
    with session_scope() as session:
        snapshot = stats.Snapshot(session)
        unread = {each.item.log_type for each in coverage.unread(session, *before)}
        is_known = LogType.MESSAGE not in unread
        return Traffic(
            since=since,
            until=until,
            starts=stats.bucket_starts(since, until, span.bucket),
            messages=_by_outcome(snapshot, LogType.MESSAGE, since, until, span.bucket),
            calls=_by_outcome(snapshot, LogType.CALL, since, until, span.bucket),
            messages_before=_total(snapshot, LogType.MESSAGE, *before) if is_known else 0,
            calls_before=_total(snapshot, LogType.CALL, *before) if LogType.CALL not in unread else 0,
            delivered=_deliveries(snapshot, since, until, span.bucket, timedelta(0)),
            delivered_before=_deliveries(snapshot, *before, span.bucket, WEEK) if is_known else {},
            codes=_codes(snapshot, since, until, span.bucket),
        )


def _total(snapshot: stats.Snapshot, log_type: LogType, since: datetime, until: datetime) -> int:
    return sum(_by_outcome(snapshot, log_type, since, until, "day").values())


def _by_outcome(
    snapshot: stats.Snapshot, log_type: LogType, since: datetime, until: datetime, bucket: str
) -> dict[tuple[datetime, bool], int]:
    found: Counter[tuple[datetime, bool]] = Counter()
    for each in snapshot.count(LogFilter(log_type=(log_type,), since=since, until=until), bucket, "status"):
        found[max(each.at, since), each.value in FAILED] += each.count
    return found


def _deliveries(
    snapshot: stats.Snapshot, since: datetime, until: datetime, bucket: str, shift: timedelta
) -> Deliveries:
    rows = snapshot.delivery(LogFilter(since=since, until=until), bucket)
    return {max(row.at, since) + shift: (row.delivered, row.final) for row in rows}


def _codes(
    snapshot: stats.Snapshot, since: datetime, until: datetime, bucket: str
) -> list[tuple[Code, int, Sequence[int]]]:
    found = codes.count_codes(snapshot, LogFilter(since=since, until=until))
    shown = codes.one_per_code(found)[:MAX_ROWS]
    if not shown:
        return []
    wanted = LogFilter(error_code=tuple(code.error_code for code in shown), since=since, until=until)
    starts = stats.bucket_starts(since, until, bucket)
    by_time: Counter[tuple[Code, datetime]] = Counter()
    for log_type in {code.log_type for code in shown}:
        for each in snapshot.count(replace(wanted, log_type=(log_type,)), bucket, "error_code"):
            if isinstance(each.value, int):
                by_time[Code(each.value, log_type), max(each.at, since)] += each.count
    return [(code, found[code], [by_time[code, at] for at in starts]) for code in shown]


def share_of(deliveries: Deliveries) -> float | None:
    """Return the share that was delivered, from 0 to 1; None without final messages."""
    final = sum(each for _, each in deliveries.values())
    return sum(delivered for delivered, _ in deliveries.values()) / final if final else None
