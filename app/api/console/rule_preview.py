"""What a rule would have done, as a page shows it: run through the preview service, few at once, and drawn."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from app.api.console import texts
from app.api.console.access import Viewer
from app.api.console.judged_span import JudgedSpan, describe_judged
from app.api.console.links import link
from app.api.console.plots import figure, paths
from app.api.console.plots.figure import Axis, Figure, Style
from app.api.console.plots.measured import Measure, limit_legend, measure_of, series_of
from app.config import Settings
from app.database import session_scope
from app.enums import OTHER_VALUE, PatternType
from app.errors import FieldError, InvalidInput
from app.services.preview.service import preview
from app.services.rules import definition
from app.services.rules.definition import RuleDefinition
from app.services.rules.words import PLURALS
from app.utils.caching import TtlCache
from app.utils.calendar_edges import to_zone
from app.utils.clock import utc_now
from app.utils.json_types import JsonObject
from app.utils.quantities import counted

SPANS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
SPAN_WORDS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}
DEFAULT_SPAN = "7d"
MAX_AT_ONCE = 2
"""Previews that one process computes at the same time."""
PATIENCE_SECONDS = 15.0
"""How long a preview waits for its turn."""
KEEP_SECONDS = 60.0
MAX_KEPT = 50
MAX_LISTED = 10
REPLACED_FIELDS = {"name": "preview", "description": ""}
"""What a preview takes for fields that it does not depend on: a nameless rule can be tried."""


class PreviewCache:
    """Computes previews, two at a time at most, and keeps each for a minute."""

    def __init__(self) -> None:
        self._turns = threading.BoundedSemaphore(MAX_AT_ONCE)
        self._kept: TtlCache[bytes, JsonObject] = TtlCache(KEEP_SECONDS, MAX_KEPT)

    def get(self, body: JsonObject, span: str, settings: Settings, *, ladder: bool = False) -> JsonObject:
        """Return what a rule would have done in a span that ends now, and with `ladder` what other limits would have.

        Raises: InvalidInput, also where too many previews run.
        """
        key = orjson.dumps([body | REPLACED_FIELDS, span, ladder], option=orjson.OPT_SORT_KEYS)
        if (kept := self._kept.find(key)) is not None:
            return kept
        if not self._turns.acquire(timeout=PATIENCE_SECONDS):
            raise InvalidInput(
                [FieldError("since", "cannot be counted now: other previews run. Try again in a moment")]
            )
        try:
            found = self._kept.find(key) or _run(body | {"ladder": ladder}, span, settings)
        finally:
            self._turns.release()
        self._kept.keep(key, found)
        return found


PREVIEWS = PreviewCache()


def _run(body: JsonObject, span: str, settings: Settings) -> JsonObject:
    now = utc_now()
    wanted = body | REPLACED_FIELDS | {"since": now - SPANS[span], "until": now}
    with session_scope() as session:
        return preview(session, wanted, settings, now)


@dataclass(frozen=True)
class ShownAlert:
    """One alert that the rule would have opened."""

    group: Mapping[str, object]
    started_at: datetime
    lasted: str
    """How long, or `open`."""
    occurrences: int
    silenced: bool
    href: str
    """Address of its logs."""


@dataclass(frozen=True)
class ShownRung:
    """One limit of the ladder."""

    value: str
    alerts: int
    is_own: bool
    can_be_set: bool
    """Alerts resolve at no higher limit."""


@dataclass(frozen=True)
class ShownPreview:
    """A preview, ready for the template."""

    span: str
    words: str
    alerts: int
    silenced: int
    matches: int
    population: int
    noun: str
    plot: Figure
    glance: paths.Spark
    listed: Sequence[ShownAlert]
    """The newest alerts first."""
    judged: JudgedSpan
    first_judged_at: datetime | None
    windows_too_small: float | None
    """Of a ratio: the share of windows with too few logs."""
    warnings: Sequence[JsonObject]
    limit_field: str
    """The form's field of the limit that the ladder moves."""
    ladder: Sequence[ShownRung]


def show(viewer: Viewer, rule: RuleDefinition, found: JsonObject, span: str) -> ShownPreview:
    """Prepare a preview for the template."""
    starts = [_time(point["at"]) for point in found["series"]]
    until = starts[0] + SPANS[span]
    measure, values = _values(rule, found, starts)
    alerts = [_shown_alert(rule, alert, until) for alert in reversed(found["alerts"][-MAX_LISTED:])]
    windows = found["windows"]
    return ShownPreview(
        span=span,
        words=SPAN_WORDS[span],
        alerts=len(found["alerts"]),
        silenced=sum(alert["silenced"] for alert in found["alerts"]),
        matches=found["matches"],
        population=found["population"],
        noun=PLURALS[rule.log_type],
        plot=_draw(viewer, rule, found, span, starts, values, measure),
        glance=paths.spark(paths.condense(values), measure.limit),
        listed=alerts,
        judged=describe_judged(viewer, found, starts[0], until),
        first_judged_at=_times(found["first_judged_at"]),
        windows_too_small=windows["too_small"] / windows["count"] if windows and windows["count"] else None,
        warnings=found["warnings"],
        limit_field=found["ladder"]["field"].replace("condition", rule.condition.type, 1) if found["ladder"] else "",
        ladder=_ladder(rule, found["ladder"]["items"]) if found["ladder"] else (),
    )


def _ladder(rule: RuleDefinition, items: Sequence[JsonObject]) -> list[ShownRung]:
    measure = measure_of(rule)
    return [
        ShownRung(
            f"{each['value']:.16g}",
            each["alerts"],
            each["value"] == measure.limit,
            each["value"] >= (measure.resolve_limit or 0),
        )
        for each in items
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _times(text: str | None) -> datetime | None:
    return None if text is None else _time(text)


def _values(rule: RuleDefinition, found: JsonObject, starts: Sequence[datetime]) -> tuple[Measure, list[float | None]]:
    """Return what is plotted: the judged value if its windows cover the buckets, otherwise the matches."""
    measure = measure_of(rule)
    window = rule.condition.window
    if measure.limit is None or (window and window < _bucket(starts)):
        return Measure(None, "", "matching"), [float(point["matches"]) for point in found["series"]]
    return measure, [point["value"] for point in found["series"]]


def _draw(
    viewer: Viewer,
    rule: RuleDefinition,
    found: JsonObject,
    span: str,
    starts: Sequence[datetime],
    values: list[float | None],
    measure: Measure,
) -> Figure:
    until = starts[0] + SPANS[span]
    axis = Axis(
        starts=starts,
        until=until,
        zone=viewer.zone,
        href=logs_link(rule, {}),
        label=lambda at: f"{to_zone(at, viewer.zone):%a %d %b %H:%M}",
    )
    judged = _judged_span(found)
    known = [
        value if judged and judged[0] - _bucket(starts) <= at <= judged[1] else None
        for at, value in zip(starts, values, strict=True)
    ]
    fired = [(_time(each["started_at"]), _times(each["resolved_at"]) or until) for each in found["alerts"]]
    unread = [(starts[0], judged[0]), (judged[1], until)] if judged else [(starts[0], until)]
    spans = [*(axis.span("firing", *each) for each in fired), *(axis.span("unread", *each) for each in unread)]
    legend = [*limit_legend(measure), *([("firing", "open")] if found["alerts"] else [])]
    judged_words = describe_judged(viewer, found, starts[0], until).words or f"in {SPAN_WORDS[span]}"
    return figure.draw(
        "What the rule would have done",
        f"{counted(len(found['alerts']), 'alert')} {judged_words}.",
        axis,
        series_of(measure, known),
        Style(unit=measure.unit, limit=measure.limit, resolve_limit=measure.resolve_limit, extra_legend=legend),
        spans,
    )


def _judged_span(found: JsonObject) -> tuple[datetime, datetime] | None:
    """Return the judged part of the span; None if nothing could be judged."""
    first, last = _times(found["judged_from"]), _times(found["judged_until"])
    return None if first is None or last is None else (first, last)


def _bucket(starts: Sequence[datetime]) -> timedelta:
    return starts[1] - starts[0] if len(starts) > 1 else timedelta(0)


def logs_link(rule: RuleDefinition, group: Mapping[str, object]) -> Callable[[datetime, datetime], str]:
    """Return the parameters of the address of a rule's matching logs, as far as filters can express them."""
    filters: dict[str, object] = dict(definition.as_json(rule)["filters"])
    if rule.log_type != "any":
        filters["log_type"] = rule.log_type
    value = rule.pattern_value or ""
    if rule.pattern_type == PatternType.STATUS:
        filters["status"] = value
    elif rule.pattern_type == PatternType.ERROR_CODE and value.replace(",", "").replace(" ", "").isdigit():
        filters["error_code"] = value.replace(" ", "")
    filters |= {name: found for name, found in group.items() if found not in (None, OTHER_VALUE)}
    filters.pop("price_unit", None)
    return lambda since, until: link("/logs", **filters, since=since, until=until)


def _shown_alert(rule: RuleDefinition, alert: JsonObject, until: datetime) -> ShownAlert:
    started, resolved = _time(alert["started_at"]), _times(alert["resolved_at"])
    # The window that fired reaches back; the logs of an alert begin there.
    window = rule.condition.window
    return ShownAlert(
        group=alert["group"],
        started_at=started,
        lasted="open" if resolved is None else texts.duration(resolved - started),
        occurrences=alert["occurrences"],
        silenced=alert["silenced"],
        href=logs_link(rule, alert["group"])(started - window, (resolved or until) + timedelta(minutes=1)),
    )
