"""Previews conditions over time: evaluates each group of the span, and measures groups for plots."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from app.models import Alert
from app.services.evaluation.completeness import Completeness
from app.services.evaluation.due_minutes import first_judged_minute
from app.services.evaluation.minute_counts import minute_end
from app.services.preview.group_evaluator import GroupEvaluator
from app.services.preview.log_reader import LogBucket, LogReader
from app.services.preview.request import PreviewRequest
from app.services.preview.result import GroupSlots, PreviewResult, ValueAt, Windows
from app.services.preview.run import PreviewRun
from app.services.preview.sources import CountSource, Source, StuckSource, stuck_spans
from app.services.rules.groups import UNGROUPED_KEY
from app.services.rules.rule import Rule

MAX_PLOTTED_GROUPS = 50
"""The groups with most matches, whose values appear in the plot."""


def run(preview: PreviewRun) -> PreviewResult:
    """Evaluate every group over the span, up to the horizon."""
    rule, sources, evaluator = preview.rule, _sources(preview), _evaluator(preview)
    first, last = first_minute(rule, preview.known), preview.last_minute

    def count_alerts(other: Rule) -> int:
        each = evaluator.with_rule(other)
        return sum(1 for key, source in sources.items() for _ in each.evaluate_group(key, source))

    measure = _Measure(evaluator, sources, first, last)
    result = PreviewResult(measure, count_alerts, judged=(first, last) if first <= last else None)
    if rule.condition.min_window_total:
        result.windows = Windows(0, 0)
    for key, source in sources.items():
        result.matches += source.matches(preview.request.since)
        result.alerts += evaluator.evaluate_group(key, source)
        if isinstance(source, CountSource) and result.windows is not None:
            result.windows = result.windows.plus(source.windows(first, last, rule.condition.min_window_total))
    return result


def measure_group(preview: PreviewRun, alert: Alert) -> ValueAt:
    """Return what measures the group of a stored alert at a minute; None if it could not be judged then."""
    rule, key = preview.rule, alert.group_key
    source = _sources(preview).get(key) or _empty_source(rule)
    evaluator, first = _evaluator(preview), first_minute(rule, preview.known)

    def value_at(at: datetime) -> float | None:
        if not first <= at <= preview.last_minute:
            return None
        is_open = alert.started_at <= at <= (alert.resolved_at or at)
        # The alert fixes the currency, also before it started.
        uses_alert = is_open or rule.condition.summed_field is not None
        return evaluator.value(key, source, at, alert if uses_alert else None)

    return value_at


def _evaluator(preview: PreviewRun) -> GroupEvaluator:
    span = first_minute(preview.rule, preview.known), preview.last_minute
    return GroupEvaluator(preview.rule, preview.alert_changes(), preview.known, span, preview.deadline)


def _empty_source(rule: Rule) -> Source:
    """Return the logs of a group that has none."""
    if rule.condition.names_logs:
        return StuckSource()
    source = CountSource(rule, None)
    source.freeze()
    return source


def first_minute(rule: Rule, known: Completeness) -> datetime:
    """Return the first minute to evaluate: times before logs are known must not count as silence."""
    first, known_from = first_judged_minute(rule), known.known_from(rule)
    if known_from is None or rule.condition.names_logs:
        return first
    return max(first, minute_end(known_from) + rule.window + rule.settle_delay)


class _Measure:
    """Returns the measured value at the last full minute, of the group nearest to firing."""

    def __init__(self, evaluator: GroupEvaluator, sources: dict[str, Source], first: datetime, last: datetime) -> None:
        largest = sorted(sources, key=lambda key: -sources[key].size)[:MAX_PLOTTED_GROUPS]
        self._evaluator, self._first, self._last = evaluator, first, last
        self._sources = {key: sources[key] for key in largest}
        self._nearest = min if evaluator.rule.condition.holds_below else max

    def __call__(self, at: datetime) -> float | None:
        minute = at.replace(second=0, microsecond=0)
        if not self._first <= minute <= self._last:
            return None
        values = [self._evaluator.value(key, source, minute) for key, source in self._sources.items()]
        return self._nearest((value for value in values if value is not None), default=None)


def _sources(preview: PreviewRun) -> dict[str, Source]:
    """Load the logs of each group."""
    rule = preview.rule
    if rule.condition.names_logs:
        return dict(_stuck(preview))
    known_from = preview.known.known_from(rule)
    counts: dict[str, CountSource] = defaultdict(lambda: CountSource(rule, known_from))
    slots = GroupSlots(rule)
    for each in _before(preview.reader, rule, preview.request.since):
        counts[slots.key(each.log)].add_history(each)
    for each in sorted(_within(preview.reader, preview.request), key=lambda each: each.minute):
        counts[slots.key(each.log)].add(each)
    if rule.condition.holds_below and not rule.group_by:
        counts[UNGROUPED_KEY].freeze()
    for found in counts.values():
        found.freeze()
    return dict(counts)


def _before(reader: LogReader, rule: Rule, since: datetime) -> Iterable[LogBucket]:
    """Load what a rule warms up from: the baseline of a `spike`, the groups of `no_data`."""
    if rule.condition.counts_first_matches:
        start = since - rule.window * (rule.condition.earlier_windows + 1)
        return reader.first_matches_by_minute(start, since)
    if rule.condition.holds_below and rule.group_by:
        return reader.latest_by_minute(since - rule.condition.slot_ttl, since)
    return []


def _within(reader: LogReader, request: PreviewRequest) -> Iterable[LogBucket]:
    if request.rule.condition.counts_first_matches:
        return reader.first_matches_by_minute(request.since.replace(microsecond=0), request.until)
    return reader.latest_by_minute(request.since.replace(microsecond=0), request.until)


def _stuck(preview: PreviewRun) -> Iterator[tuple[str, StuckSource]]:
    rule, request, reader = preview.rule, preview.request, preview.reader
    age, lifetime = rule.condition.min_age, timedelta(hours=preview.settings.settle_hours)
    slots = GroupSlots(rule)
    found: dict[str, StuckSource] = defaultdict(StuckSource)
    for versions in reader.unfinished(request.since, request.until, age):
        given_up_at = versions[0].occurred_at + lifetime
        for version, span in stuck_spans(versions, reader.matching(versions), age, given_up_at, request.since):
            found[slots.key(version)].add(version.log_id, minute_end(span[0]), minute_end(span[1]))
    yield from found.items()
