"""The logs of one group by minute, as input for conditions. No database."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

from app.models import Alert
from app.services.evaluation.minute_counts import MINUTE
from app.services.evaluation.minute_input import MinuteInput
from app.services.evaluation.window_queries import GroupId
from app.services.preview.log_reader import LogBucket
from app.services.preview.result import Windows
from app.services.rules.conditions.base import MinuteCondition
from app.services.rules.conditions.numbers import Amounts, Numbers, WindowCounts
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion
from app.services.spans import Span


class Source(Protocol):
    """The logs of a group."""

    size: int
    """The number of matches."""

    def changes(self) -> Iterator[datetime]:
        """Yield the minutes at which the condition's input may change."""

    def may_fire(self, at: datetime, rule: Rule) -> bool:
        """Return whether the rule, perhaps with another limit, could fire at this minute."""

    def fill_input(self, minute: MinuteInput, group_id: GroupId) -> None:
        """Add the numbers of a minute to the condition's input."""

    def matches(self, since: datetime) -> Iterator[tuple[datetime, int]]:
        """Yield the times and numbers of matches."""

    def occurrences(self, alert: Alert, until: datetime) -> int:
        """Count the logs of an alert until `until`: those in the window that fired and all later ones."""


class _MinuteCounts(NamedTuple):
    """The totals of one or more minutes."""

    total: int
    matched: int
    named: int
    """Matches that an alert names: for a `ratio`, including those that are not final."""


NO_COUNTS = _MinuteCounts(0, 0, 0)


def _add(one: _MinuteCounts, other: _MinuteCounts) -> _MinuteCounts:
    return _MinuteCounts(one.total + other.total, one.matched + other.matched, one.named + other.named)


class _AmountSums:
    """The amounts of one unit, with prefix sums, so that the sum of a span takes constant time."""

    def __init__(self) -> None:
        self._added: dict[datetime, Decimal] = defaultdict(Decimal)
        self._minutes: list[datetime] = []
        self._sums: list[Decimal] = []

    def add(self, minute: datetime, amount: Decimal) -> None:
        self._added[minute] += amount

    def freeze(self) -> None:
        self._minutes = sorted(self._added)
        self._sums = list(accumulate((self._added[at] for at in self._minutes), initial=Decimal(0)))

    def between(self, after: datetime, until: datetime) -> Decimal:
        return self._sums[bisect_right(self._minutes, until)] - self._sums[bisect_right(self._minutes, after)]


class CountSource:
    """Logs counted by minute."""

    def __init__(self, rule: Rule, known_from: datetime | None) -> None:
        self._rule, self._known_from = rule, known_from
        self._length = rule.window
        self._added: dict[datetime, _MinuteCounts] = {}
        self._amounts: dict[str, _AmountSums] = defaultdict(_AmountSums)
        self._seen: set[datetime] = set()
        self._seen_sorted: list[datetime] = []
        self._minutes: list[datetime] = []
        self._sums: list[_MinuteCounts] = []
        self._windows: dict[datetime, _MinuteCounts] = {}
        self.size = 0

    def add_history(self, logs: LogBucket) -> None:
        """Add logs from before the span; for `no_data`, only the group's existence counts."""
        if self._rule.condition.holds_below:
            self._seen |= {logs.minute} if logs.matches else set()
        else:
            self.add(logs)

    def add(self, logs: LogBucket) -> None:
        """Add a bucket of logs."""
        named = logs.number if logs.matches else 0
        counts = logs.log.final or not self._rule.condition.counts_final
        more = _MinuteCounts(logs.number if counts else 0, named if counts else 0, named)
        self._added[logs.minute] = _add(self._added.get(logs.minute, NO_COUNTS), more)
        if logs.matches:
            self._seen.add(logs.minute)
            self.size += logs.number
            if self._rule.condition.summed_field:
                self._amounts[self._rule.condition.unit_of(logs.log)].add(logs.minute, logs.amount)

    def freeze(self) -> None:
        """Prepare for queries."""
        self._minutes = sorted(self._added)
        self._sums = list(accumulate((self._added[at] for at in self._minutes), _add, initial=NO_COUNTS))
        self._seen_sorted = sorted(self._seen)
        for amounts in self._amounts.values():
            amounts.freeze()

    def _between(self, after: datetime, until: datetime) -> "_MinuteCounts":
        """Return the totals of (after, until]."""
        low = self._sums[bisect_right(self._minutes, after)]
        high = self._sums[bisect_right(self._minutes, until)]
        return _MinuteCounts(high.total - low.total, high.matched - low.matched, high.named - low.named)

    def _window(self, until: datetime) -> "_MinuteCounts":
        """Return the totals of the window that ends at a minute. Cached: a `spike` needs each many times."""
        found = self._windows.get(until)
        if found is None:
            found = self._windows[until] = self._between(until - self._length, until)
        return found

    def changes(self) -> Iterator[datetime]:
        windows = [0, 1]
        if self._rule.condition.earlier_windows:
            windows = list(range(self._rule.condition.earlier_windows + 2))
            if self._known_from is not None:
                known = self._known_from
                floor = known.replace(second=0, microsecond=0)
                start = floor if floor == known else floor + MINUTE
                yield from (start + number * self._length for number in windows)
        offsets = [self._rule.settle_delay + number * self._length for number in windows]
        for at in self._minutes:
            yield from (at + offset for offset in offsets)

    def windows(self, first: datetime, last: datetime, min_total: int) -> Windows:
        """Count the windows evaluated at the minutes from `first` to `last`, and those that are too small."""
        steps: Counter[datetime] = Counter()
        for at in self._minutes:
            steps[at + self._rule.settle_delay] += self._added[at].total
            steps[at + self._rule.settle_delay + self._length] -= self._added[at].total
        number = too_small = total = 0
        for at, following in pairwise(sorted(steps)):
            total += steps[at]
            minutes = int((min(following, last + MINUTE) - max(at, first)) / MINUTE)
            if total > 0 and minutes > 0:
                number += minutes
                too_small += minutes if total < min_total else 0
        return Windows(number, too_small)

    def may_fire(self, at: datetime, rule: Rule) -> bool:
        condition = rule.condition
        assert isinstance(condition, MinuteCondition), "the others are judged by matches"
        if condition.holds_below and self._rule.group_by and not self._was_seen(at):
            return False
        amounts = self._window_amounts(at) if condition.summed_field else {}
        return condition.may_hold(Numbers(at, at, partial(self._window_before, at), self._known_from, amounts))

    def _window_before(self, at: datetime, index: int) -> WindowCounts:
        """Return the window `index` windows before the one that is judged at a minute."""
        total, matched, _ = self._window(at - self._rule.settle_delay - index * self._length)
        return WindowCounts(total, matched)

    def _window_amounts(self, at: datetime) -> Amounts:
        """Return the total of the window that ends at a minute, by unit."""
        return {unit: [(at, found.between(at - self._length, at))] for unit, found in self._amounts.items()}

    def _was_seen(self, at: datetime) -> bool:
        index = bisect_right(self._seen_sorted, at)
        return index > 0 and self._seen_sorted[index - 1] > at - self._rule.condition.slot_ttl

    def fill_input(self, minute: MinuteInput, group_id: GroupId) -> None:
        windows = range(self._rule.condition.earlier_windows + 1)
        minute.window_counts[group_id] = {index: self._window_before(minute.at, index) for index in windows}
        if self._rule.condition.summed_field:
            minute.amounts[group_id] = self._window_amounts(minute.at)

    def matches(self, since: datetime) -> Iterator[tuple[datetime, int]]:
        for at in self._minutes:
            if at > since and self._added[at].matched:
                yield at - timedelta(microseconds=1), self._added[at].matched

    def occurrences(self, alert: Alert, until: datetime) -> int:
        return self._between(alert.window_from, until).named


class StuckSource:
    """Logs with the minutes at which each was stuck."""

    def __init__(self) -> None:
        self._spans: list[tuple[datetime, datetime, int]] = []
        self.size = 0

    def add(self, log_id: int, since: datetime, until: datetime) -> None:
        """Add a log that is stuck at the minutes [since, until)."""
        if since < until:
            self._spans.append((since, until, log_id))
            self.size += 1

    def changes(self) -> Iterator[datetime]:
        for since, until, _ in self._spans:
            yield since
            yield until

    def may_fire(self, at: datetime, rule: Rule) -> bool:  # noqa: ARG002 - as the other source
        return any(since <= at < until for since, until, _ in self._spans)

    def fill_input(self, minute: MinuteInput, group_id: GroupId) -> None:
        minute.stuck[group_id] = [log_id for since, until, log_id in self._spans if since <= minute.at < until]

    def matches(self, since: datetime) -> Iterator[tuple[datetime, int]]:
        for began, _, _ in self._spans:
            yield max(began, since), 1

    def occurrences(self, alert: Alert, until: datetime) -> int:
        spans = [span for span in self._spans if span[0] <= until and span[1] > alert.started_at]
        return len({log_id for _, _, log_id in spans})


def stuck_spans(
    versions: Sequence[LogVersion], matching: Sequence[bool], age: timedelta, given_up_at: datetime, since: datetime
) -> Iterator[tuple[LogVersion, Span]]:
    """Yield the spans during which a log was old, not final and matching, each with its version."""
    for number, (version, matches) in enumerate(zip(versions, matching, strict=True)):
        ended = versions[number + 1].changed_at if number + 1 < len(versions) else given_up_at
        began = max(version.changed_at, version.occurred_at + age)
        if matches and not version.final and version.changed_at >= since.replace(microsecond=0):
            yield version, (began, min(ended, given_up_at))
