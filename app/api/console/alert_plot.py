"""The plot of an alert: the values of its condition, when it was open, and what people did. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from app.api.console import texts
from app.api.console.access import Viewer
from app.api.console.plots import figure
from app.api.console.plots.figure import Axis, Figure, Mark, Span, Style
from app.api.console.plots.measured import Measure, limit_legend, measure_of, series_of
from app.api.console.rule_preview import logs_link
from app.enums import DeliveryStatus, NotificationType
from app.models import Alert, Delivery
from app.services.preview.alert_series import AlertSeries, SeriesPoint
from app.services.rules.definition import RuleDefinition
from app.services.rules.words import PLURALS
from app.utils.calendar_edges import to_zone

MARKS_APART = 1.0
"""Marks of one kind that are closer than this, in percent of the width, are merged."""
MARK_NAMES = {"notified": "notified", "own": "acknowledged", "ok": "resolved"}


class AlertPlot(NamedTuple):
    """A plot with its heading."""

    title: str
    about: str
    """What is measured, in a few words."""
    figure: Figure | None
    detail: str | None = None
    """Why there is no figure."""


def draw_alert(viewer: Viewer, alert: Alert, series: AlertSeries, sent: Sequence[Delivery]) -> AlertPlot:
    """Draw the series of an alert."""
    if series.rule is None or series.until is None:
        return AlertPlot("How often", "", None, series.detail)
    title, about = series.rule.condition.value_title, _measured(series.rule, series.points)
    axis = Axis(
        starts=[point.at for point in series.points],
        until=series.until,
        zone=viewer.zone,
        href=logs_link(series.rule, alert.group),
        label=lambda at: f"{to_zone(at, viewer.zone):%a %d %b %H:%M}",
    )
    measure = measure_of(series.rule)
    marks = _distinct(_marks(axis, alert, sent))
    spans = [axis.span("firing", alert.started_at, alert.resolved_at or series.until), *_unknown(axis, series)]
    drawn = figure.draw(
        title,
        _caption(viewer, alert, measure, series.points),
        axis,
        series_of(measure, [point.value for point in series.points]),
        Style(
            unit=measure.unit,
            limit=measure.limit,
            resolve_limit=measure.resolve_limit,
            missing="no value",
            extra_legend=[*limit_legend(measure), *_legend(spans, marks)],
        ),
        spans,
        marks,
    )
    return AlertPlot(title, f"{about}, by the rule as it was then" if series.is_of_past_rule else about, drawn)


def _measured(rule: RuleDefinition, points: Sequence[SeriesPoint]) -> str:
    noun = PLURALS[rule.log_type]
    bucket = points[1].at - points[0].at if len(points) > 1 else timedelta(minutes=1)
    return rule.condition.measured(noun) or f"matching {noun}, in {texts.duration(bucket)} each"


def _marks(axis: Axis, alert: Alert, sent: Sequence[Delivery]) -> Iterator[Mark | None]:
    def mark(kind: str, at: datetime, what: str) -> Mark | None:
        return axis.mark(kind, at, f"{what} {axis.label(at)}")

    yield mark("bad", alert.started_at, "Fired")
    for delivery in sorted(sent, key=lambda delivery: delivery.created_at):
        notifies = delivery.type in (NotificationType.FIRING, NotificationType.UPDATE)
        if notifies and delivery.status == DeliveryStatus.SUCCEEDED:
            yield mark("notified", delivery.created_at, "Notified")
    if alert.acknowledged_at is not None:
        yield mark("own", alert.acknowledged_at, "Acknowledged")
    if alert.resolved_at is not None:
        yield mark("ok", alert.resolved_at, "Resolved")


def _distinct(marks: Iterator[Mark | None]) -> list[Mark]:
    """Drop marks that would cover one of the same kind."""
    found: dict[tuple[str, int], Mark] = {}
    for mark in marks:
        if mark is not None:
            found.setdefault((mark.kind, int(mark.x / MARKS_APART)), mark)
    return list(found.values())


def _unknown(axis: Axis, series: AlertSeries) -> Iterator[Span | None]:
    """Yield the times that are not known."""
    assert series.until is not None
    ends = [*axis.starts[1:], series.until]
    for known, run in groupby(zip(series.points, ends, strict=True), key=lambda pair: pair[0].known):
        if not known:
            parts = list(run)
            yield axis.span("unread", parts[0][0].at, parts[-1][1])


def _legend(spans: Sequence[Span | None], marks: Sequence[Mark]) -> list[tuple[str, str]]:
    kinds = {span.kind for span in spans if span is not None}
    names = {"firing": "open", "unread": "not known"}
    shown = {mark.kind for mark in marks}
    return [
        *((kind, name) for kind, name in names.items() if kind in kinds),
        *((kind, name) for kind, name in MARK_NAMES.items() if kind in shown),
    ]


def _caption(viewer: Viewer, alert: Alert, measure: Measure, points: Sequence[SeriesPoint]) -> str:
    """Describe the plot."""
    values = [point.value for point in points if point.value is not None]
    extreme = min(values) if measure.is_below and values else max(values, default=0.0)
    limit = "" if measure.limit is None else f", the limit {measure.limit:,.6g}{measure.unit}"
    word = "lowest" if measure.is_below else "highest"
    began = to_zone(alert.started_at, viewer.zone)
    return f"Open since {began:%d %b %H:%M}; the {word} value is {extreme:,.6g}{measure.unit}{limit}."
