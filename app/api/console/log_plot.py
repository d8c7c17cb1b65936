"""The plot above the list of logs: counts by outcome. Dragging over it narrows the time."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.api.console.access import Viewer
from app.api.console.filters import Filters
from app.api.console.plots import figure
from app.api.console.plots.figure import Axis, Figure, Series, Style
from app.api.schemas.logs import LogFilters
from app.services.logs import stats
from app.services.logs.search import LogFilter
from app.utils.calendar_edges import EARLIEST, shift, to_zone
from app.utils.clock import rfc3339
from app.utils.quantities import counted

DEFAULT_SPAN = timedelta(hours=24)
MAX_SPAN = timedelta(days=180)
"""Of a longer span, only this much before its end is plotted."""
MINUTE = timedelta(minutes=1)
FINE_SPAN, HOURLY_SPAN = timedelta(hours=3), timedelta(days=8)
"""Up to these, buckets are minutes or hours, beyond days: never more than 192."""
FAILED = ("failed", "undelivered")
BAD, FINE, ENTRY = "failed", "delivered, answered or on their way", "error log"
KINDS = {FINE: ("bars-good", "good"), ENTRY: ("bars-pale", "pale"), BAD: ("bars-bad", "bad")}
"""CSS classes of the bars and their keys, in stacking order."""


def bucket_of(span: timedelta) -> str:
    """Choose the buckets of a span."""
    return "minute" if span <= FINE_SPAN else "hour" if span <= HOURLY_SPAN else "day"


def with_span(query: LogFilters, now: datetime) -> LogFilter:
    """Return the filter with the plotted span: the last 24 hours if the address has no time."""
    wanted = query.to_filter()
    until = max(min(wanted.until or now, now), EARLIEST + MINUTE)
    since = wanted.since or shift(until, -DEFAULT_SPAN)
    return replace(wanted, since=max(min(since, until - MINUTE), shift(until, -MAX_SPAN)), until=until)


def is_quick(wanted: LogFilter) -> bool:
    """Check whether the counts come from tallies, or from few logs."""
    assert wanted.since is not None
    assert wanted.until is not None
    span = wanted.until - wanted.since
    return span <= DEFAULT_SPAN or stats.is_tallied(wanted, bucket_of(span), "status")


def draw(session: Session, viewer: Viewer, wanted: LogFilter, filters: Filters[LogFilters]) -> tuple[Figure, int]:
    """Count and draw.

    Args:    session: one that has not read anything yet; wanted: of `with_span`.
    Returns: the plot, and the number of logs in it.
    """
    assert wanted.since is not None
    assert wanted.until is not None
    bucket = bucket_of(wanted.until - wanted.since)
    counts = stats.Snapshot(session).count(wanted, bucket, "status")
    starts = stats.bucket_starts(wanted.since, wanted.until, bucket)
    found: Counter[tuple[str, datetime]] = Counter()
    for each in counts:
        found[_outcome(each.value), max(each.at, wanted.since)] += each.count
    total = sum(found.values())
    shown = [name for name in KINDS if any(key == name for key, _ in found)] or [FINE]
    series = [Series(name, [found[name, at] for at in starts], *KINDS[name]) for name in shown]
    caption = f"{counted(total, 'log')}, {sum(found[BAD, at] for at in starts):,} failed."
    axis = Axis(starts, wanted.until, viewer.zone, _narrowed(filters), lambda at: _label(at, viewer, bucket))
    return figure.draw("Logs", caption, axis, series, Style(size="low")), total


def _outcome(status: str | int | None) -> str:
    if status is None:
        return ENTRY
    return BAD if status in FAILED else FINE


def _label(at: datetime, viewer: Viewer, bucket: str) -> str:
    local = to_zone(at, viewer.zone)
    return f"{local:%a} {local.day} {local:%b}" if bucket == "day" else f"{local:%a %H:%M}"


def _narrowed(filters: Filters[LogFilters]) -> "figure.Href":
    return lambda since, until: filters.replaced(since=rfc3339(since), until=rfc3339(until))
