"""The reports of pages, and their plot."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.actions import report_text
from app.api.console.links import link
from app.api.console.plots import figure
from app.api.console.plots.figure import Axis, Figure, Series, Style
from app.database import session_scope
from app.services.ingest import coverage
from app.services.reports.report import build
from app.utils.json_types import JsonObject

SPANS = {"day": timedelta(days=1), "week": timedelta(days=7)}
MAX_BEHIND = timedelta(hours=1)
KEEP_SECONDS = 60.0
"""Each report is expensive."""


def read_report(since: datetime, until: datetime, zone: str) -> JsonObject:
    """Build the report of a span."""
    with session_scope() as session:
        return build(session, since, until, zone)


def draw_traffic(report: JsonObject, zone: ZoneInfo) -> Figure:
    """Draw the logs of the span by hours or days."""
    starts = [datetime.fromisoformat(step["at"]) for step in report["traffic"]["series"]]
    values = [step["count"] for step in report["traffic"]["series"]]
    until = datetime.fromisoformat(report["until"])
    axis = Axis(
        starts,
        until,
        zone,
        lambda first, last: link("/logs", since=first, until=last),
        lambda at: f"{at:%a} {at.day} {at:%b} {at:%H:%M}",
    )
    unread = [axis.span("unread", *span) for span in _joined(report["not_read"])]
    style = Style(extra_legend=[("unread", "not all was read")] if unread else [])
    caption = report_text.summary(report) + "."
    return figure.draw("Logs", caption, axis, [Series("logs", values, "bars-good", "good")], style, unread)


def _joined(spans: Sequence[JsonObject]) -> list[tuple[datetime, datetime]]:
    """Join the spans of several streams that overlap: hatched twice, they would look darker."""
    joined: list[tuple[datetime, datetime]] = []
    for since, until in sorted(
        (datetime.fromisoformat(each["since"]), datetime.fromisoformat(each["until"])) for each in spans
    ):
        if joined and since <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until))
        else:
            joined.append((since, until))
    return joined


def shifted(since: datetime, until: datetime, steps: int) -> str:
    """Return the address of the report this many spans later; empty beyond the calendar."""
    length = (until - since) * steps
    try:
        return link("/report", since=since + length, until=until + length)
    except OverflowError:
        return ""


def latest_end(now: datetime) -> datetime:
    """Return the minute up to which all is read, so that the report is complete; now, if that is long ago."""
    with session_scope() as session:
        read = coverage.read_until(session)
    until = now if read is None or read < now - MAX_BEHIND else min(read, now)
    return until.replace(second=0, microsecond=0)
