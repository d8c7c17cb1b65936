"""The traffic of the overview: counts of a time range, and of the same range a week before where that was read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.database import session_scope
from app.enums import LogType
from app.services.ingest import coverage
from app.services.logs import codes, stats
from app.services.logs.codes import Code
from app.services.logs.outbound import OUTBOUND
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
    """The counts of one time range. Those of a week before are empty where it was not read whole."""

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
    codes: Sequence[tuple[Code, int]]
    countries: Sequence[tuple[str | None, int, int]]
    """Country, messages sent to it, failed ones; None for numbers without one."""


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
            codes=_codes(snapshot, since, until),
            countries=_countries(snapshot, since, until),
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


def _codes(snapshot: stats.Snapshot, since: datetime, until: datetime) -> list[tuple[Code, int]]:
    found = codes.count_codes(snapshot, LogFilter(since=since, until=until))
    return [(code, found[code]) for code in codes.once_each(found)[:MAX_ROWS]]


def _countries(snapshot: stats.Snapshot, since: datetime, until: datetime) -> list[tuple[str | None, int, int]]:
    sent = LogFilter(log_type=(LogType.MESSAGE,), direction=OUTBOUND[LogType.MESSAGE], since=since, until=until)
    totals, failed = (_by_country(snapshot, wanted) for wanted in (sent, replace(sent, status=FAILED)))
    known = [(country, total, failed[country]) for country, total in totals.items() if country != stats.OTHER]
    return sorted(known, key=lambda row: (-row[2], -row[1]))[:MAX_ROWS]


def _by_country(snapshot: stats.Snapshot, wanted: LogFilter) -> Counter[str | None]:
    found: Counter[str | None] = Counter()
    for each in snapshot.count(wanted, "day", "to_country"):
        found[None if each.value is None else str(each.value)] += each.count
    return found


def share_of(deliveries: Deliveries) -> float | None:
    """Return the share that was delivered, from 0 to 1; None without final messages."""
    final = sum(each for _, each in deliveries.values())
    return sum(delivered for delivered, _ in deliveries.values()) / final if final else None
