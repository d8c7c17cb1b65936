"""What one group holds, minute by minute, and how it is laid before a condition; asks no database."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Protocol

from app.models import Alert
from app.services.alerts.timed import GroupId, Minute
from app.services.preview.reading import Kind
from app.services.rules.counts import MINUTE
from app.services.rules.places import stay
from app.services.rules.types import LogVersion, NoDataParams, RatioParams, Rule, SpikeParams, SumParams
from app.services.rules.windows import Sums

Span = tuple[datetime, datetime]


class Source(Protocol):
    """What a group holds."""

    size: int
    """How many logs of it match."""

    def changes(self) -> Iterator[datetime]:
        """Give the minutes at which what a condition sees may differ from the minute before."""

    def worth_judging(self, at: datetime) -> bool:
        """Say whether the rule could fire at this minute."""

    def fill(self, minute: Minute, place: GroupId) -> None:
        """Lay the numbers of a minute before the condition."""

    def matches(self, since: datetime) -> Iterator[tuple[datetime, int]]:
        """Give when logs matched, and how many."""

    def occurrences(self, alert: Alert, counted_until: datetime, until: datetime) -> int:
        """Count the logs of an alert up to `until`, but for those that counted towards the one before."""


class Counts:
    """Logs counted by minute."""

    def __init__(self, rule: Rule, known_from: datetime | None) -> None:
        self._rule, self._known_from = rule, known_from
        self._added: dict[datetime, list[Decimal]] = {}
        self._seen: set[datetime] = set()
        self._minutes: list[datetime] = []
        self._totals: list[list[Decimal]] = []
        self.size = 0

    def remember(self, kind: Kind) -> None:
        """Take in what came before the span: of `no_data`, only that the group was there."""
        if isinstance(self._rule.params, NoDataParams):
            self._seen |= {kind.minute} if kind.matches else set()
        else:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Take in logs that are alike."""
        found = self._added.setdefault(kind.minute, [Decimal(0)] * 3)
        found[0] += kind.number
        if kind.matches:
            found[1] += kind.number
            found[2] += kind.amount
            self._seen.add(kind.minute)
            self.size += kind.number

    def freeze(self) -> None:
        """Make it ready to be asked."""
        self._minutes = sorted(self._added)
        columns = zip(*(self._added[at] for at in self._minutes), strict=True) if self._minutes else [(), (), ()]
        self._totals = [[Decimal(0), *accumulate(column)] for column in columns]
        self._lately = sorted(self._seen)

    def _held(self, after: datetime, until: datetime) -> tuple[int, int, Decimal]:
        """Return total, matches and amount of (after, until]."""
        low, high = bisect_right(self._minutes, after), bisect_right(self._minutes, until)
        total, matched, amount = (column[high] - column[low] for column in self._totals)
        return int(total), int(matched), amount

    def _window(self, at: datetime) -> tuple[int, int, Decimal]:
        until = at - self._rule.settle
        return self._held(until - self._rule.window, until)

    def changes(self) -> Iterator[datetime]:
        windows = [0, 1]
        if isinstance(self._rule.params, SpikeParams):
            windows = list(range(self._rule.params.baseline_windows + 2))
            if self._known_from is not None:
                known = self._known_from
                floor = known.replace(second=0, microsecond=0)
                start = floor if floor == known else floor + MINUTE
                yield from (start + number * self._rule.window for number in windows)
        offsets = [self._rule.settle + number * self._rule.window for number in windows]
        for at in self._minutes:
            yield from (at + offset for offset in offsets)

    def worth_judging(self, at: datetime) -> bool:
        params = self._rule.params
        total, matched, amount = self._window(at)
        if isinstance(params, RatioParams):
            return total >= params.min_total
        if isinstance(params, SumParams):
            return amount >= Decimal(str(params.at_least))
        if isinstance(params, SpikeParams):
            return matched >= params.min_count
        return not self._rule.group_by or self._was_seen(at)

    def _was_seen(self, at: datetime) -> bool:
        place = bisect_right(self._lately, at)
        return place > 0 and self._lately[place - 1] > at - stay(self._rule)

    def fill(self, minute: Minute, place: GroupId) -> None:
        params = self._rule.params
        total, matched, amount = self._window(minute.at)
        minute.sums[place] = {0: Sums(total, matched)}
        if isinstance(params, SumParams):
            minute.amounts[place] = [(minute.at, amount)]
        if isinstance(params, SpikeParams):
            for number in range(1, params.baseline_windows + 1):
                until = minute.at - number * self._rule.window
                before = self._held(until - self._rule.window, until)
                minute.sums[place][number] = Sums(before[0], before[1])

    def matches(self, since: datetime) -> Iterator[tuple[datetime, int]]:
        for at in self._minutes:
            if at > since and self._added[at][1]:
                yield at - timedelta(microseconds=1), int(self._added[at][1])

    def occurrences(self, alert: Alert, counted_until: datetime, until: datetime) -> int:
        return self._held(max(alert.window_from, counted_until), until)[1]


class Stuck:
    """Logs, each with the minutes over which it was stuck."""

    def __init__(self) -> None:
        self._spans: list[tuple[datetime, datetime, int]] = []
        self.size = 0

    def add(self, log_id: int, since: datetime, until: datetime) -> None:
        """Take in a log that is stuck at the minutes [since, until)."""
        if since < until:
            self._spans.append((since, until, log_id))
            self.size += 1

    def changes(self) -> Iterator[datetime]:
        for since, until, _ in self._spans:
            yield since
            yield until

    def worth_judging(self, at: datetime) -> bool:
        return any(since <= at < until for since, until, _ in self._spans)

    def fill(self, minute: Minute, place: GroupId) -> None:
        minute.stuck[place] = [log_id for since, until, log_id in self._spans if since <= minute.at < until]

    def matches(self, since: datetime) -> Iterator[tuple[datetime, int]]:
        for began, _, _ in self._spans:
            yield max(began, since), 1

    def occurrences(self, alert: Alert, counted_until: datetime, until: datetime) -> int:
        spans = [span for span in self._spans if counted_until < span[0] <= until and span[1] > alert.started_at]
        return len({log_id for _, _, log_id in spans})


def stuck_spans(
    versions: Sequence[LogVersion], matching: Sequence[bool], age: timedelta, given_up_at: datetime, since: datetime
) -> Iterator[tuple[LogVersion, Span]]:
    """Give the spans over which a log was old, not final and matching, each with the version that it had."""
    for number, (version, matches) in enumerate(zip(versions, matching, strict=True)):
        ended = versions[number + 1].changed_at if number + 1 < len(versions) else given_up_at
        began = max(version.changed_at, version.occurred_at + age)
        if matches and not version.final and version.changed_at >= since.replace(microsecond=0):
            yield version, (began, min(ended, given_up_at))
