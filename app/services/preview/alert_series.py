"""The series of a stored alert: what its condition measured over time, computed as in a preview."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import InvalidInput
from app.models import Alert
from app.services.evaluation.completeness import Completeness, StreamState
from app.services.evaluation.minute_counts import MINUTE, minute_end
from app.services.evaluation.rule_set import to_rule
from app.services.findings.rule_of_alert import NoRule, RuleUnknown, rule_of_alert
from app.services.preview import buckets, by_minute
from app.services.preview.completeness import completeness_of, limits_of
from app.services.preview.deadline import Deadline
from app.services.preview.log_reader import MAX_LIFETIME, LogReader
from app.services.preview.request import MAX_SPAN, PreviewRequest
from app.services.preview.result import ValueAt
from app.services.preview.run import PreviewRun
from app.services.rules import definition
from app.services.rules.conditions.base import MinuteCondition
from app.services.rules.definition import RuleDefinition
from app.services.rules.groups import group_key_of, other_group
from app.services.rules.rule import Rule
from app.utils.clock import cut_to_second, rfc3339, rfc3339_or_none
from app.utils.json_types import JsonObject

MICROSECOND = timedelta(microseconds=1)
MAX_MOMENTS = 12
"""A bucket is measured at most this often."""
WINDOWS_BEFORE = 3
"""This many windows before the alert are shown."""
FILTERABLE = ("account_sid", "direction", "from", "to", "to_country", "messaging_service_sid")
"""Fields of a group that a rule can filter by."""
WITHOUT_RULE = {
    NoRule.BUILT_IN: "This alert is about GiftPulse itself: nothing was counted for it.",
    NoRule.DELETED: "The rule of this alert was deleted, and the audit does not say how it was.",
    NoRule.CHANGED: "The rule of this alert was edited since, and the audit does not say how it was.",
}
OTHER_GROUP = "This alert stands for all groups beyond the first 500; they cannot be counted again."
TOO_MANY = "There are too many logs to count them again for this alert."


class SeriesPoint(NamedTuple):
    """One bucket."""

    at: datetime
    """Its start."""
    value: float | None
    """The value nearest to the limit; None if nothing could be measured. Matches are counted, even if more may come."""
    firing: bool
    known: bool
    """All logs up to its end were read, so the condition could be judged there."""


@dataclass(frozen=True)
class AlertSeries:
    """What the condition of an alert measured over time."""

    limit: float | None
    """The value at which the condition holds; None for conditions without a limit."""
    points: Sequence[SeriesPoint] = ()
    until: datetime | None = None
    """The end of the last bucket."""
    rule: RuleDefinition | None = None
    detail: str | None = None
    """Why there are no points."""
    is_of_past_rule: bool = False
    """The rule was edited or deleted since: this is what it counted as it was then."""
    waits_for: Sequence[StreamState] = ()
    """Accounts that could not be read for a while, each by one of its streams: an open alert cannot resolve before."""


def series_json(series: AlertSeries) -> JsonObject:
    """Serialize a series; `detail` is left out if there are points."""
    items = [each._asdict() | {"at": rfc3339(each.at)} for each in series.points]
    detail = {} if series.detail is None else {"detail": series.detail}
    waits_for = [
        {
            "account_sid": each.account_sid,
            "log_type": each.log_type,
            "complete_until": rfc3339_or_none(each.complete_until),
        }
        for each in series.waits_for
    ]
    return {"limit": series.limit, "items": items, "waits_for": waits_for} | detail


def read_series(
    session: Session, alert: Alert, settings: Settings, now: datetime, seconds: float | None = None
) -> AlertSeries:
    """Measure an alert from three windows before it began until it ended, or until now.

    Args:    seconds: the time limit; by default that of a preview.
    Returns: the series, without points if no rule explains the alert any more. The session is read-only afterwards.
    """
    try:
        row = rule_of_alert(session, alert.id, alert.rule_id)
    except RuleUnknown as error:
        return AlertSeries(None, detail=WITHOUT_RULE[error.reason])
    rule, parsed, is_past = to_rule(row), definition.from_row(row), row not in session
    if rule.group_by and alert.group == other_group(rule):
        return AlertSeries(rule.condition.limit, rule=parsed, detail=OTHER_GROUP)
    try:
        measured = _measure(session, alert, rule, parsed, settings, now, Deadline(seconds))
        return replace(measured, is_of_past_rule=is_past)
    except InvalidInput:
        return AlertSeries(rule.condition.limit, rule=parsed, detail=TOO_MANY)


class _Span(NamedTuple):
    """The span that is shown."""

    since: datetime
    until: datetime


def _span_of(alert: Alert, rule: Rule, now: datetime) -> _Span:
    until = minute_end(max(alert.resolved_at or now, alert.started_at + MINUTE))
    since = max(alert.started_at - _time_before(rule), rule.started_at, until - MAX_SPAN)
    return _Span(since.replace(second=0, microsecond=0), until)


def _time_before(rule: Rule) -> timedelta:
    """Return how much is shown before an alert: three windows; without a window, the quiet period."""
    return WINDOWS_BEFORE * (rule.condition.min_age or rule.window) or max(rule.quiet_period, MINUTE)


def _measure(
    session: Session,
    alert: Alert,
    rule: Rule,
    parsed: RuleDefinition,
    settings: Settings,
    now: datetime,
    deadline: Deadline,
) -> AlertSeries:
    span = _span_of(alert, rule, now)
    known = completeness_of(session, rule, settings, now)
    horizon = min(known.horizon(rule) or span.since, span.until)
    narrowed = _narrowed(rule, alert)
    # A window includes its end; the span of a request does not.
    request = PreviewRequest(narrowed, parsed, _read_from(rule, span), span.until + MICROSECOND, rule.id)
    reader = LogReader(session, narrowed, deadline)
    preview = PreviewRun(session, settings, request, reader, known, horizon, deadline)
    starts = buckets.starts_of(span.since, span.until)
    ends = [*starts[1:], span.until]
    value_at, is_known = _measures(preview, alert, ends[0] - starts[0])
    was_open = buckets.firing([(alert.started_at, alert.resolved_at)], starts, span.until)
    nearest = min if rule.condition.holds_below else max
    points = []
    for start, end, opened in zip(starts, ends, was_open, strict=True):
        values = [value for at in _moments(rule, alert, start, end) if (value := value_at(at)) is not None]
        points.append(SeriesPoint(start, nearest(values, default=None), opened, is_known(end)))
    waits_for = [] if alert.resolved_at else limits_of(known, rule, span.since, span.until).until
    return AlertSeries(rule.condition.limit, points, span.until, parsed, waits_for=waits_for)


def _measures(preview: PreviewRun, alert: Alert, bucket: timedelta) -> tuple[ValueAt, Callable[[datetime], bool]]:
    """Return what measures the alert's group at a time, and whether all is known then."""
    rule, known, horizon = preview.rule, preview.known, preview.horizon
    if isinstance(rule.condition, MinuteCondition):
        return by_minute.measure_group(preview, alert), _is_judged(rule, known, horizon)
    return _count_matches(preview, alert, bucket), _is_read(rule, known, horizon)


def _moments(rule: Rule, alert: Alert, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield when a bucket is measured: at its end, within it if windows are shorter, and when the alert started."""
    yield end
    if rule.window:
        step = max(rule.window, (end - start) / MAX_MOMENTS).total_seconds() // 60 * MINUTE
        for number in range(1, int((end - start) / step)):
            yield end - number * step
    if start < alert.started_at < end and rule.condition.limit is not None:
        yield alert.started_at


def _narrowed(rule: Rule, alert: Alert) -> Rule:
    """Return the rule narrowed to the alert's group, as far as filters can express it."""
    group = {field: frozenset({value}) for field, value in alert.group.items() if field in FILTERABLE and value}
    return replace(rule, filters={**rule.filters, **group})


def _read_from(rule: Rule, span: _Span) -> datetime:
    """Return the time from which logs are read: the first window, but nothing before the rule."""
    reach = MAX_LIFETIME if rule.condition.names_logs else rule.window + rule.settle_delay
    return max(cut_to_second(rule.started_at), span.since - reach)


def _is_judged(rule: Rule, known: Completeness, horizon: datetime) -> Callable[[datetime], bool]:
    first = by_minute.first_minute(rule, known)
    return lambda at: first <= at <= horizon


def _is_read(rule: Rule, known: Completeness, horizon: datetime) -> Callable[[datetime], bool]:
    known_from = known.known_from(rule)
    since = cut_to_second(rule.started_at) if known_from is None else max(cut_to_second(rule.started_at), known_from)
    return lambda at: since < at <= horizon


def _count_matches(preview: PreviewRun, alert: Alert, bucket: timedelta) -> ValueAt:
    """Return what counts the group's matches in the window that ends at a time; without a window, in the bucket."""
    rule, request = preview.rule, preview.request
    span = rule.window or bucket
    times = sorted(
        log.changed_at
        for log in preview.reader.first_matches(request.since, request.until)
        if group_key_of(rule, log) == alert.group_key
    )
    return lambda at: float(bisect_right(times, at) - bisect_right(times, at - span))
