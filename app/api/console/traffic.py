"""The traffic of the overview: counts of a time range, and of the same range a week before where that was read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.database import session_scope
from app.enums import LogType
from app.services.ingest import coverage
from app.services.logs import stats
from app.services.logs.search import LogFilter
from app.utils.clock import utc_now

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
    codes: Sequence[tuple[int, int]]
    countries: Sequence[tuple[str, int, int]]
    """Country, messages, failed ones."""


def read_traffic(name: str) -> Traffic:
    """Read the traffic of a range."""
    span, now = RANGES[name], utc_now()
    size = stats.BUCKETS[span.bucket]
    until = stats.ORIGIN + (int((now - stats.ORIGIN) / size) + 1) * size
    since = until - span.length
    starts = [since + number * size for number in range(int(span.length / size))]
    with session_scope() as session:
        snapshot = stats.Snapshot(session)
        unread = {each.item.log_type for each in coverage.unread(session, since - WEEK, now - WEEK)}
        is_known = LogType.MESSAGE not in unread
        return Traffic(
            since=since,
            until=until,
            starts=starts,
            messages=_by_outcome(snapshot, LogType.MESSAGE, since, until, span.bucket),
            calls=_by_outcome(snapshot, LogType.CALL, since, until, span.bucket),
            messages_before=_total(snapshot, LogType.MESSAGE, since - WEEK, now - WEEK) if is_known else 0,
            calls_before=_total(snapshot, LogType.CALL, since - WEEK, now - WEEK) if LogType.CALL not in unread else 0,
            delivered=_deliveries(snapshot, since, until, span.bucket, timedelta(0)),
            delivered_before=_deliveries(snapshot, since - WEEK, until - WEEK, span.bucket, WEEK) if is_known else {},
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
        found[each.at, each.value in FAILED] += each.count
    return found


def _deliveries(
    snapshot: stats.Snapshot, since: datetime, until: datetime, bucket: str, shift: timedelta
) -> Deliveries:
    rows = snapshot.delivery(LogFilter(since=since, until=until), bucket)
    return {row.at + shift: (row.delivered, row.final) for row in rows}


def _codes(snapshot: stats.Snapshot, since: datetime, until: datetime) -> list[tuple[int, int]]:
    found: Counter[int] = Counter()
    for each in snapshot.count(LogFilter(since=since, until=until), "day", "error_code"):
        if isinstance(each.value, int):
            found[each.value] += each.count
    return found.most_common(MAX_ROWS)


def _countries(snapshot: stats.Snapshot, since: datetime, until: datetime) -> list[tuple[str, int, int]]:
    totals: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    messages = LogFilter(log_type=(LogType.MESSAGE,), since=since, until=until)
    for each in snapshot.count(messages, "day", "to_country"):
        totals[str(each.value)] += each.count
    for each in snapshot.count(
        LogFilter(log_type=(LogType.MESSAGE,), status=FAILED, since=since, until=until), "day", "to_country"
    ):
        failed[str(each.value)] += each.count
    known = [(country, total, failed[country]) for country, total in totals.items() if len(country) == 2]
    return sorted(known, key=lambda row: (-row[2], -row[1]))[:MAX_ROWS]


def share_of(deliveries: Deliveries) -> float | None:
    """Return the share that was delivered, from 0 to 1; None without final messages."""
    final = sum(each for _, each in deliveries.values())
    return sum(delivered for delivered, _ in deliveries.values()) / final if final else None
