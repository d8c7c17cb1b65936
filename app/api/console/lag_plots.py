"""The plots of the health page: how far reading, evaluation and delivery lagged."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.api.console import texts
from app.api.console.access import Viewer
from app.api.console.plots import figure
from app.api.console.plots.figure import Axis, Figure, Series, Style
from app.api.console.rendering import link
from app.config import Settings
from app.services import lags
from app.services.ingest.plan import ALLOWANCE
from app.services.lags import Lags
from app.services.logs.change_consumers import EVALUATION_BEHIND_AFTER
from app.services.self_monitoring import DELIVERIES_OVERDUE_AFTER, max_time_unread
from app.utils.calendar_edges import to_zone

SPANS = {"24h": (timedelta(hours=24), timedelta(minutes=10)), "7d": (timedelta(days=7), timedelta(hours=1))}
"""The spans that can be shown, each with its buckets."""
DEFAULT_SPAN = "24h"
MINUTE = timedelta(minutes=1)


class Stage(NamedTuple):
    """One stage: what is behind, and when it is too far behind."""

    name: str
    title: str
    explanation: str
    limit: timedelta
    page: str
    """The page with what was late."""


class Shown(NamedTuple):
    """One stage with its plot."""

    stage: Stage
    now: str
    plot: Figure


def stages(settings: Settings) -> Sequence[Stage]:
    """Return the stages in the order that a log passes them."""
    unread = max_time_unread(settings) + ALLOWANCE
    return (
        Stage("reading", "Reading", "How old the oldest unread log may be.", unread, "/logs"),
        Stage("evaluation", "Evaluation", "How long a log waits for the rules.", EVALUATION_BEHIND_AFTER, "/logs"),
        Stage("delivery", "Delivery", "How long a notification waits.", DELIVERIES_OVERDUE_AFTER, "/deliveries"),
    )


def draw(session: Session, viewer: Viewer, settings: Settings, span: str, now: datetime) -> list[Shown]:
    """Measure now, and draw the highest lag of each bucket of the span."""
    length, bucket = SPANS[span]
    until = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    since = until - length - timedelta(hours=1)
    starts = [since + number * bucket for number in range((until - since) // bucket) if since + number * bucket <= now]
    found = lags.highest(session, since, starts[-1] + bucket, bucket)
    present = lags.measure(session, now)
    return [
        Shown(stage, _words(getattr(present, stage.name)), _plot(stage, viewer, starts, starts[-1] + bucket, found))
        for stage in stages(settings)
    ]


def _words(seconds: float) -> str:
    return texts.duration(timedelta(seconds=seconds)) if seconds >= 1 else "nothing waits"


def _plot(
    stage: Stage, viewer: Viewer, starts: Sequence[datetime], until: datetime, found: Sequence[Lags | None]
) -> Figure:
    values = [None if each is None else round(getattr(each, stage.name) / 60, 1) for each in found]
    axis = Axis(starts, until, viewer.zone, _link_to(stage.page), lambda at: f"{to_zone(at, viewer.zone):%a %H:%M}")
    known = [value for value in values if value is not None]
    caption = f"At most {max(known):,.6g} minutes behind." if known else "Nothing was measured yet."
    bucket = until - starts[-1]
    unread = [axis.span("unread", at, at + bucket) for at, value in zip(starts, values, strict=True) if value is None]
    legend = [("unread", "not measured")] if len(known) < len(values) else []
    style = Style(unit=" min", limit=stage.limit / MINUTE, size="low", missing="not measured", extra_legend=legend)
    series = [Series("behind", values, "curve", "curve")]
    return figure.draw(f"{stage.title}: minutes behind", caption, axis, series, style, unread)


def _link_to(page: str) -> figure.Href:
    return lambda since, until: link(page, since=since, until=until)
