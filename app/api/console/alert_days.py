"""How many alerts started on each of the last 30 days, as a plot."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.api.console.access import Viewer
from app.api.console.links import link
from app.api.console.plots import figure
from app.api.console.plots.figure import Axis, Figure, Series, Style
from app.services.alerts import search
from app.utils.calendar_edges import to_zone
from app.utils.quantities import counted

DAYS = 30
KINDS = {"info": ("bars-pale", "pale"), "warning": ("bars-good", "good"), "critical": ("bars-bad", "bad")}
"""Severities with how their bars and keys are drawn, from the bottom."""


def draw(session: Session, viewer: Viewer, now: datetime) -> Figure:
    """Draw the days; each leads to its alerts."""
    midnight = to_zone(now, viewer.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    since = midnight - timedelta(days=DAYS - 1)
    counts = search.count_by_day(session, since, midnight + timedelta(days=1))
    starts = [since + timedelta(days=number) for number in range(DAYS)]
    series = [Series(name, [counts.get((start, name), 0) for start in starts], *drawn) for name, drawn in KINDS.items()]
    axis = Axis(
        starts=starts,
        until=midnight + timedelta(days=1),
        zone=viewer.zone,
        href=lambda begin, end: link("/alerts", tab="all", since=begin, until=end),
        label=lambda at: f"{to_zone(at, viewer.zone):%a %-d %b}",
    )
    total = counted(sum(counts.values()), "alert")
    return figure.draw("Alerts by day", f"{total} in {DAYS} days.", axis, series, Style(size="low"))
