"""Evaluates a group of a preview only at minutes at which its verdict may change.

In between, the verdict is constant: no log enters or leaves the window, and no deadline passes.
"""

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime

from app.enums import AlertStatus
from app.errors import FieldError, InvalidInput
from app.models import Alert
from app.services.alerts.changes import AlertChanges
from app.services.evaluation import minute_evaluator
from app.services.evaluation.completeness import Completeness
from app.services.evaluation.due_minutes import DueMinute
from app.services.evaluation.minute_counts import MINUTE
from app.services.evaluation.minute_input import MinuteInput
from app.services.preview.deadline import Deadline
from app.services.preview.result import PreviewAlert
from app.services.preview.sources import Source
from app.services.rules.rule import Rule
from app.services.spans import Span

MAX_JUDGMENTS = 500_000
MAX_CHECKS = 1_000_000
"""Checks whether a group needs evaluation at a minute; a `spike` has one at nearly every minute."""
TOO_MANY_JUDGMENTS = (
    f"is too far back: a preview judges {MAX_JUDGMENTS:,} times, a group at a minute;"
    " shorten the span, narrow the filters, or group by less"
)


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
            updates = list(minute_evaluator.judge_rule(self.rule, minute, self._due(at), self._alert_changes))
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
