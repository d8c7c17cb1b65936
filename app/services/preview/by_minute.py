"""Previews conditions over time: evaluates each group only at minutes at which its verdict may change.

In between, the verdict is constant: no log enters or leaves the window, and no deadline passes.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import AlertStatus
from app.errors import FieldError, InvalidInput
from app.models import Alert
from app.services.alerts.changes import AlertChanges
from app.services.evaluation import minute_evaluator
from app.services.evaluation.completeness import Completeness
from app.services.evaluation.due_minutes import DueMinute, first_judged_minute
from app.services.evaluation.minute_counts import MINUTE, minute_end
from app.services.evaluation.minute_input import MinuteInput
from app.services.preview.deadline import Deadline
from app.services.preview.log_reader import LogBucket, LogReader
from app.services.preview.request import PreviewRequest
from app.services.preview.result import GroupSlots, PreviewAlert, PreviewResult, ValueAt, Windows
from app.services.preview.sources import CountSource, Source, Span, StuckSource, stuck_spans
from app.services.rules.groups import UNGROUPED_KEY
from app.services.rules.rule import Rule

MAX_JUDGMENTS = 500_000
MAX_CHECKS = 1_000_000
"""Checks whether a group needs evaluation at a minute; a `spike` has one at nearly every minute."""
TOO_MANY_JUDGMENTS = (
    f"is too far back: a preview judges {MAX_JUDGMENTS:,} times, a group at a minute;"
    " shorten the span, narrow the filters, or group by less"
)
MAX_PLOTTED_GROUPS = 50
"""The groups with most matches, whose values appear in the plot."""


class GroupEvaluator:
    """Evaluates the groups of one rule as live evaluation does, and collects the alerts; nothing is saved."""

    def __init__(
        self, rule: Rule, alert_changes: AlertChanges, known: Completeness, span: Span, deadline: Deadline
    ) -> None:
        self.rule = rule
        self._known, self._limit = known, deadline
        self._first, self._last = span
        self._alert_changes = alert_changes
        self._judgments = self._checks = 0

    def with_rule(self, rule: Rule) -> "GroupEvaluator":
        """Return an evaluator of another rule over the same span, which may judge as often."""
        return GroupEvaluator(rule, self._alert_changes, self._known, (self._first, self._last), self._limit)

    def evaluate_group(self, key: str, source: Source) -> Iterator[PreviewAlert]:
        """Evaluate one group from the first minute to the last, and yield its alerts."""
        first, last = self._first, self._last
        alert: Alert | None = None
        suppressed = False
        # With a schedule, the rule may fire at any minute. Windows of a spike begin and end at nearly every minute.
        always = self.rule.schedule is not None or self.rule.condition.earlier_windows > 0
        queue = _MinuteQueue(() if always else source.changes(), first, last, always=always)
        for at in queue:
            if alert is None and not self._is_worth_judging(source, at):
                continue
            minute = self._minute(key, source, at, alert, suppressed)
            updates = minute_evaluator.judge_rule(self.rule, minute, self._due(at), self._alert_changes)
            suppressed = suppressed and (self.rule.id, key) in minute.suppressed
            if not updates:
                continue
            alert = updates[0][1]
            queue.add(self.rule.condition.ends_by(alert))
            if alert.status == AlertStatus.RESOLVED:
                yield self._preview_alert(alert, source, at)
                suppressed, alert = bool(alert.suppressed_until_clear), None
        if alert is not None:
            yield self._preview_alert(alert, source, last)

    def _is_worth_judging(self, source: Source, at: datetime) -> bool:
        self._checks += 1
        if self._checks > MAX_CHECKS:
            raise InvalidInput([FieldError("since", TOO_MANY_JUDGMENTS)])
        self._limit.check()
        return source.may_fire(at, self.rule)

    def value(self, key: str, source: Source, at: datetime, alert: Alert | None = None) -> float | None:
        """Return the measured value of a group at a minute; what an open alert froze counts."""
        return minute_evaluator.judge_group(
            self.rule, (self.rule.id, key), self._minute(key, source, at, alert, suppressed=False), self._due(at)
        ).value

    def _minute(self, key: str, source: Source, at: datetime, alert: Alert | None, suppressed: bool) -> MinuteInput:
        self._judgments += 1
        if self._judgments > MAX_JUDGMENTS:
            raise InvalidInput([FieldError("since", TOO_MANY_JUDGMENTS)])
        self._limit.check()
        group_id = self.rule.id, key
        minute = MinuteInput(at)
        minute.groups[self.rule.id] = {key}
        if alert is not None:
            minute.open_alerts[group_id] = alert
        if suppressed:
            minute.suppressed.add(group_id)
        source.fill_input(minute, group_id)
        return minute

    def _due(self, at: datetime) -> DueMinute:
        return DueMinute(at, [self.rule], self._known)

    def _preview_alert(self, alert: Alert, source: Source, until: datetime) -> PreviewAlert:
        return PreviewAlert(dict(alert.group), alert.started_at, alert.resolved_at, source.occurrences(alert, until))


class _MinuteQueue:
    """The minutes to evaluate, in order; more are added on the way."""

    def __init__(self, minutes: Iterable[datetime], first: datetime, last: datetime, *, always: bool) -> None:
        self._last = last
        self._heap = [at for at in {first, *minutes} if first <= at <= last]
        if always:
            self._heap = [first + number * MINUTE for number in range(int((last - first) / MINUTE) + 1)]
        heapq.heapify(self._heap)

    def add(self, at: datetime | None) -> None:
        if at is not None and at <= self._last:
            heapq.heappush(self._heap, at)

    def __iter__(self) -> Iterator[datetime]:
        before: datetime | None = None
        while self._heap:
            at = heapq.heappop(self._heap)
            if before is None or at > before:
                before = at
                yield at


def run(
    reader: LogReader,
    request: PreviewRequest,
    horizon: datetime,
    known: Completeness,
    session: Session,
    settings: Settings,
    deadline: Deadline,
) -> PreviewResult:
    """Evaluate every group over the span, up to the horizon."""
    rule = request.rule
    sources = _sources(reader, request, settings, known.known_from(rule))
    first = first_minute(rule, known)
    last = min(request.until, horizon).replace(second=0, microsecond=0)
    alert_changes = AlertChanges(session, settings, request.until)
    evaluator = GroupEvaluator(rule, alert_changes, known, (first, last), deadline)

    def count_alerts(other: Rule) -> int:
        each = evaluator.with_rule(other)
        return sum(1 for key, source in sources.items() for _ in each.evaluate_group(key, source))

    measure = _Measure(evaluator, sources, first, last)
    result = PreviewResult(measure, count_alerts, judged=(first, last) if first <= last else None)
    if rule.condition.least_total:
        result.windows = Windows(0, 0)
    for key, source in sources.items():
        result.matches += source.matches(request.since)
        result.alerts += evaluator.evaluate_group(key, source)
        if isinstance(source, CountSource) and result.windows is not None:
            result.windows = result.windows.plus(source.windows(first, last, rule.condition.least_total))
    return result


def measure_group(
    reader: LogReader,
    request: PreviewRequest,
    horizon: datetime,
    known: Completeness,
    session: Session,
    settings: Settings,
    deadline: Deadline,
    alert: Alert,
) -> ValueAt:
    """Return what measures the group of a stored alert at a minute; None where it could not be judged."""
    rule, key = request.rule, alert.group_key
    sources = _sources(reader, request, settings, known.known_from(rule))
    source = sources.get(key) or _empty_source(rule)
    first, last = first_minute(rule, known), min(request.until, horizon).replace(second=0, microsecond=0)
    changes = AlertChanges(session, settings, request.until)
    evaluator = GroupEvaluator(rule, changes, known, (first, last), deadline)

    def value_at(at: datetime) -> float | None:
        if not first <= at <= last:
            return None
        is_open = alert.started_at <= at <= (alert.resolved_at or at)
        # The currency that the alert is about is followed from before it began.
        goes_by_alert = is_open or rule.condition.summed_field is not None
        return evaluator.value(key, source, at, alert if goes_by_alert else None)

    return value_at


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


def _sources(
    reader: LogReader, request: PreviewRequest, settings: Settings, known_from: datetime | None
) -> dict[str, Source]:
    """Load the logs of each group."""
    rule = request.rule
    if rule.condition.names_logs:
        return dict(_stuck(reader, request, settings))
    counts: dict[str, CountSource] = defaultdict(lambda: CountSource(rule, known_from))
    slots = GroupSlots(rule)
    for kind in _before(reader, rule, request.since):
        counts[slots.key(kind.log)].add_history(kind)
    for kind in sorted(_within(reader, request), key=lambda kind: kind.minute):
        counts[slots.key(kind.log)].add(kind)
    if rule.condition.holds_below and not rule.group_by:
        counts[UNGROUPED_KEY].freeze()
    for found in counts.values():
        found.freeze()
    return dict(counts)


def _before(reader: LogReader, rule: Rule, since: datetime) -> Iterable[LogBucket]:
    """Load what a new rule learns from stored logs: the baseline of a `spike`, the groups of `no_data`."""
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


def _stuck(reader: LogReader, request: PreviewRequest, settings: Settings) -> Iterator[tuple[str, StuckSource]]:
    rule = request.rule
    age = rule.condition.min_age
    slots = GroupSlots(rule)
    found: dict[str, StuckSource] = defaultdict(StuckSource)
    for versions in reader.unfinished(request.since, request.until, age):
        given_up_at = versions[0].occurred_at + timedelta(hours=settings.settle_hours)
        for version, span in stuck_spans(versions, reader.matching(versions), age, given_up_at, request.since):
            found[slots.key(version)].add(version.log_id, minute_end(span[0]), minute_end(span[1]))
    yield from found.items()
