"""Puts a report together: what a span brought, against the span of the same length before."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from app.enums import LogType
from app.errors import InvalidInput
from app.services import unwatched
from app.services.ingest import coverage
from app.services.logs.codes import Code, count_codes, one_per_code
from app.services.logs.search import LogFilter
from app.services.logs.stats import Count, Snapshot, bucket_starts
from app.services.reports import figures
from app.services.reports.comparison import without_before
from app.services.spans import check_span
from app.services.twilio.error_codes import describe
from app.utils.calendar_edges import shift, to_zone
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

SHOWN_SPAN = timedelta(days=7)
MAX_SPAN = timedelta(days=92)
MAX_HOURLY_SPAN = timedelta(days=2)
"""The traffic of longer spans is shown by days."""
MAX_CODES = 10
MAX_UNWATCHED = 100
MAX_NOT_READ = 100
MOST_BUT_ALL = 0.9999


@dataclass(frozen=True)
class ReportSpan:
    """The span of a report, and the one before that it is compared with."""

    since: datetime
    until: datetime

    @property
    def before(self) -> datetime:
        """When the span before begins."""
        return shift(self.since, self.since - self.until)

    @property
    def times(self) -> dict[str, datetime]:
        """The limits of both spans, by name."""
        return {"before": self.before, "since": self.since, "until": self.until}

    def filters(self, log_filter: LogFilter | None = None) -> tuple[LogFilter, LogFilter]:
        """Return a filter for the span, and one for the span before."""
        given = log_filter or LogFilter()
        return replace(given, since=self.since, until=self.until), replace(given, since=self.before, until=self.since)


def build(session: Session, since: datetime, until: datetime, zone: str = "UTC") -> JsonObject:
    """Report on [since, until); figures of the span before are null if that was not completely read.

    Args:
        session: one that has not read anything yet: all figures are of one moment.
        zone: in which the days of the traffic begin at the same time of the clock.
    Raises: InvalidInput if the span is empty or too long.
    """
    check_span(since, until, MAX_SPAN)
    span, snapshot = ReportSpan(since, until), Snapshot(session)
    not_read = coverage.unread(session, since, until)
    is_before_known = span.before == since or not coverage.unread(session, span.before, since)
    made: JsonObject = {
        "since": rfc3339(since),
        "until": rfc3339(until),
        "whole": all(each.is_before for each in not_read),
        "traffic": _traffic(snapshot, span, ZoneInfo(zone)),
        "delivery": _delivery(snapshot, span),
        "cost": figures.cost(session, span.times),
        "error_codes": _error_codes(snapshot, span),
        "unwatched": _unwatched(session, span),
        "alerts": figures.alerts(session, span.times),
        "rules": figures.rules(session, span.times),
        "not_read": [
            {"account_sid": each.account_sid, **coverage.item_json(each.item)} for each in not_read[:MAX_NOT_READ]
        ],
    }
    return made if is_before_known else without_before(made)


def _traffic(snapshot: Snapshot, span: ReportSpan, zone: ZoneInfo) -> JsonObject:
    now, before = (snapshot.count(each, "hour", "log_type") for each in span.filters())
    totals, totals_before = _by_value(now), _by_value(before)
    return {
        "total": totals.total(),
        "before": totals_before.total(),
        "by_type": [{"log_type": kind.value, "count": totals[kind], "before": totals_before[kind]} for kind in LogType],
        "series": _series(now, span, zone),
    }


def _by_value(counts: Iterable[Count]) -> Counter[str | int | None]:
    totals: Counter[str | int | None] = Counter()
    for each in counts:
        totals[each.value] += each.count
    return totals


def _series(counts: Sequence[Count], span: ReportSpan, zone: ZoneInfo) -> list[JsonObject]:
    """Add hours up to the bars of a plot. Where bars begin within an hour, it counts to the earlier one."""
    starts = step_starts(span.since, span.until, zone)
    totals = Counter[int]()
    for each in counts:
        totals[bisect_right(starts, max(each.at, span.since)) - 1] += each.count
    return [{"at": rfc3339(at), "count": totals[index]} for index, at in enumerate(starts)]


def step_starts(since: datetime, until: datetime, zone: ZoneInfo) -> list[datetime]:
    """List when the bars of a plot begin: whole hours, or for a longer span days of 23 to 25 hours. Pure."""
    if until - since <= MAX_HOURLY_SPAN:
        return bucket_starts(since, until, "hour")
    first = to_zone(since, zone)
    count = (until - since) // timedelta(hours=23) + 2
    later = (to_zone(shift(first, timedelta(days=number)), UTC) for number in range(1, count))
    return sorted({since, *(at for at in later if since < at < until)})


def _delivery(snapshot: Snapshot, span: ReportSpan) -> JsonObject:
    (final, delivered), (final_before, delivered_before) = (
        (sum(row.final for row in rows), sum(row.delivered for row in rows))
        for rows in (snapshot.delivery(each, "day") for each in span.filters())
    )
    return {
        "final": final,
        "delivered": delivered,
        "share": _share(delivered, final),
        "final_before": final_before,
        "delivered_before": delivered_before,
        "share_before": _share(delivered_before, final_before),
    }


def _share(part: int, whole: int) -> float | None:
    """Return the share, rounded; only exactly everything is 1."""
    if not whole:
        return None
    return 1.0 if part == whole else min(round(part / whole, 4), MOST_BUT_ALL)


def _error_codes(snapshot: Snapshot, span: ReportSpan) -> list[JsonObject]:
    """List the most frequent codes, with what they mean and what to do."""
    now = count_codes(snapshot, span.filters()[0])
    top = one_per_code(now)[:MAX_CODES]
    if not top:
        return []
    wanted = LogFilter(error_code=tuple(code.error_code for code in top))
    before = count_codes(snapshot, span.filters(wanted)[1])
    return [_error_code(code, now[code], before[code]) for code in top]


def _error_code(code: Code, count: int, before: int) -> JsonObject:
    meaning = describe(code.error_code)
    return {
        "error_code": code.error_code,
        "log_type": code.log_type,
        "message": meaning.message,
        "fault": meaning.fault,
        "next_step": meaning.next_step,
        "docs": meaning.docs,
        "count": count,
        "before": before,
    }


def _unwatched(session: Session, span: ReportSpan) -> list[JsonObject] | None:
    """List the codes that no enabled rule would match; None if there are too many different logs."""
    try:
        found = unwatched.find_unwatched(session, span.since, span.until)
    except InvalidInput:
        return None
    return [unwatched.to_json(each) for each in found[:MAX_UNWATCHED]]
