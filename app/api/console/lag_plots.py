"""The plots of the health page: how far reading, evaluation and delivery lagged."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.api.console import texts
from app.api.console.access import Viewer
from app.api.console.links import link
from app.api.console.plots import figure
from app.api.console.plots.figure import Axis, Figure, Series, Style
from app.config import Settings
from app.services import lags
from app.services.lags import Lags
from app.utils.calendar_edges import to_zone

SPANS = {"24h": (timedelta(hours=24), timedelta(minutes=10)), "7d": (timedelta(days=7), timedelta(hours=1))}
"""The spans that can be shown, each with its buckets."""
DEFAULT_SPAN = "24h"


class Stage(NamedTuple):
    """One stage: what is behind."""

    name: str
    title: str
    explanation: str
    page: str
    """The page with what was late."""


STAGES = (
    Stage("reading", "Reading", "How old the oldest unread log may be.", "/logs"),
    Stage("evaluation", "Evaluation", "How long a log waits for the rules.", "/logs"),
    Stage("delivery", "Delivery", "How long a notification waits.", "/deliveries"),
)
"""In the order that a log passes them."""


class Shown(NamedTuple):
    """One stage with its plot."""

    stage: Stage
    now: str
    plot: Figure


def draw(session: Session, viewer: Viewer, settings: Settings, span: str, now: datetime) -> list[Shown]:
    """Measure now, and draw the highest lag of each bucket of the span."""
    length, bucket = SPANS[span]
    until = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    since = until - length - timedelta(hours=1)
    starts = [since + number * bucket for number in range((until - since) // bucket) if since + number * bucket <= now]
    until = starts[-1] + bucket
    measured = lags.highest(session, since, until, bucket)
    found = [measured.get(start) for start in starts]
    present, limits = lags.measure(session, now), lags.limits(settings)
    return [
        Shown(
            stage,
            _words(getattr(present, stage.name)),
            _plot(stage, getattr(limits, stage.name) / 60, viewer, starts, until, found),
        )
        for stage in STAGES
    ]


def _words(seconds: float) -> str:
    return texts.duration(timedelta(seconds=seconds)) if seconds >= 1 else "nothing waits"


def _plot(
    stage: Stage,
    limit: float,
    viewer: Viewer,
    starts: Sequence[datetime],
    until: datetime,
    found: Sequence[Lags | None],
) -> Figure:
    """Draw the minutes that a stage was behind, with the limit in minutes."""
    values = [None if each is None else round(getattr(each, stage.name) / 60, 1) for each in found]
    axis = Axis(starts, until, viewer.zone, _link_to(stage.page), lambda at: f"{to_zone(at, viewer.zone):%a %H:%M}")
    known = [value for value in values if value is not None]
    caption = f"At most {max(known):,.6g} minutes behind." if known else "Nothing was measured yet."
    bucket = until - starts[-1]
    unread = [axis.span("unread", at, at + bucket) for at, value in zip(starts, values, strict=True) if value is None]
    legend = [("unread", "not measured")] if len(known) < len(values) else []
    style = Style(unit=" min", limit=limit, size="low", missing="not measured", extra_legend=legend)
    series = [Series("behind", values, "curve", "curve")]
    return figure.draw(f"{stage.title}: minutes behind", caption, axis, series, style, unread)


def _link_to(page: str) -> figure.Href:
    return lambda since, until: link(page, since=since, until=until)
