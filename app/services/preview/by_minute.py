"""Previews conditions over time: judges each group at the minutes at which something may change for it.

Between those minutes a verdict stays what it was: logs neither enter nor leave the window, and no deadline passes.
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
from app.services.alerts import timed
from app.services.alerts.register import Register
from app.services.preview.deadline import Deadline
from app.services.preview.outcome import Outcome, Places, Told, Windows
from app.services.preview.reading import Kind, Reader
from app.services.preview.request import Request
from app.services.preview.sources import Counts, Source, Stuck, stuck_spans
from app.services.rules.conditions import spike
from app.services.rules.counts import MINUTE, minute_of
from app.services.rules.engine import Completeness
from app.services.rules.groups import WHOLE
from app.services.rules.places import stay
from app.services.rules.types import NoDataParams, RatioParams, Rule, SpikeParams, StuckParams

MAX_JUDGMENTS = 500_000
MAX_LOOKS = 1_000_000
"""Looks whether a group is worth judging at a minute: of a `spike`, one at nearly every minute."""
TOO_MUCH = (
    f"is too far back: a preview judges {MAX_JUDGMENTS:,} times, a group at a minute;"
    " shorten the span, narrow the filters, or group by less"
)
MEASURED = 50
"""Groups whose value is looked at for the plot: those with most matches."""


class Watch:
    """Judges the groups of one rule as the evaluation does, and keeps what it says; nothing is saved."""

    def __init__(
        self, session: Session, settings: Settings, request: Request, known: Completeness, deadline: Deadline
    ) -> None:
        self.rule = request.rule
        self._known, self._limit = known, deadline
        self._register = Register(session, settings, request.until)
        self._judgments = self._looks = 0

    def follow(self, key: str, source: Source, first: datetime, last: datetime) -> Iterator[Told]:
        """Follow one group from its first minute to its last, and tell its alerts."""
        alert: Alert | None = None
        still = False
        # A schedule may let the rule fire at any minute; of a spike, windows begin and end at nearly every one.
        always = self.rule.schedule is not None or isinstance(self.rule.params, SpikeParams)
        ahead = _Ahead(() if always else source.changes(), first, last, always=always)
        for at in ahead:
            if alert is None and not self._is_worth_judging(source, at):
                continue
            minute = self._minute(key, source, at, alert, still)
            moved = timed.judge_rule(self.rule, minute, self._due(at), self._register)
            still = still and (self.rule.id, key) in minute.still
            if not moved:
                continue
            alert = moved[0][1]
            ahead.add(self._deadline(alert))
            if alert.status == AlertStatus.RESOLVED:
                yield self._told(alert, source, at)
                still, alert = bool(alert.still_holds), None
        if alert is not None:
            yield self._told(alert, source, last)

    def _is_worth_judging(self, source: Source, at: datetime) -> bool:
        self._looks += 1
        if self._looks > MAX_LOOKS:
            raise InvalidInput([FieldError("since", TOO_MUCH)])
        self._limit.check()
        return source.worth_judging(at)

    def value(self, key: str, source: Source, at: datetime) -> float | None:
        """Say what the condition measures of one group at a minute."""
        return timed.verdict_of(
            self.rule, (self.rule.id, key), self._minute(key, source, at, None, still=False), self._due(at)
        ).value

    def _minute(self, key: str, source: Source, at: datetime, alert: Alert | None, still: bool) -> timed.Minute:
        self._judgments += 1
        if self._judgments > MAX_JUDGMENTS:
            raise InvalidInput([FieldError("since", TOO_MUCH)])
        self._limit.check()
        place = self.rule.id, key
        minute = timed.Minute(at)
        minute.groups[self.rule.id] = {key}
        if alert is not None:
            minute.open[place] = alert
        if still:
            minute.still.add(place)
        source.fill(minute, place)
        return minute

    def _due(self, at: datetime) -> timed.DueMinute:
        return timed.DueMinute(at, [self.rule], self._known)

    def _deadline(self, alert: Alert) -> datetime | None:
        """Return when time alone may end an alert."""
        if alert.short_since is not None:
            return alert.short_since + 2 * self.rule.window
        if isinstance(self.rule.params, SpikeParams):
            return alert.started_at + spike.NEW_NORMAL_AFTER
        return None

    def _told(self, alert: Alert, source: Source, until: datetime) -> Told:
        return Told(dict(alert.group), alert.started_at, alert.resolved_at, source.occurrences(alert, until))


class _Ahead:
    """The minutes that are still to be judged, in order; some are added on the way."""

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
    reader: Reader,
    request: Request,
    horizon: datetime,
    known: Completeness,
    session: Session,
    settings: Settings,
    deadline: Deadline,
) -> Outcome:
    """Judge every group over the span, up to the horizon."""
    rule = request.rule
    sources = _sources(reader, request, settings, known.known_from(rule))
    watch = Watch(session, settings, request, known, deadline)
    first = _first_minute(rule, known)
    last = min(request.until, horizon).replace(second=0, microsecond=0)
    outcome = Outcome(_Measure(watch, sources, first, last), judged=(first, last) if first <= last else None)
    if isinstance(rule.params, RatioParams):
        outcome.windows = Windows(0, 0)
    for key, source in sources.items():
        outcome.matches += source.matches(request.since)
        if first <= last:
            outcome.alerts += watch.follow(key, source, first, last)
        if isinstance(source, Counts) and isinstance(rule.params, RatioParams) and outcome.windows is not None:
            outcome.windows = outcome.windows.plus(source.windows(first, last, rule.params.min_total))
    return outcome


def _first_minute(rule: Rule, known: Completeness) -> datetime:
    """Return the first minute that is judged: what was before logs are known is not taken for silence."""
    first, known_from = timed.first_minute(rule), known.known_from(rule)
    if known_from is None or isinstance(rule.params, StuckParams):
        return first
    return max(first, minute_of(known_from) + rule.window + rule.settle)


class _Measure:
    """What the condition measured at the last whole minute before a moment, of the group nearest to firing."""

    def __init__(self, watch: Watch, sources: dict[str, Source], first: datetime, last: datetime) -> None:
        largest = sorted(sources, key=lambda key: -sources[key].size)[:MEASURED]
        self._watch, self._first, self._last = watch, first, last
        self._sources = {key: sources[key] for key in largest}
        self._nearest = min if isinstance(watch.rule.params, NoDataParams) else max

    def __call__(self, at: datetime) -> float | None:
        minute = at.replace(second=0, microsecond=0)
        if not self._first <= minute <= self._last:
            return None
        values = [self._watch.value(key, source, minute) for key, source in self._sources.items()]
        return self._nearest((value for value in values if value is not None), default=None)


def _sources(reader: Reader, request: Request, settings: Settings, known_from: datetime | None) -> dict[str, Source]:
    """Read what each group holds."""
    rule = request.rule
    if isinstance(rule.params, StuckParams):
        return dict(_stuck(reader, request, settings))
    counts: dict[str, Counts] = defaultdict(lambda: Counts(rule, known_from))
    places = Places(rule)
    for kind in _before(reader, rule, request.since):
        counts[places.key(kind.log)].remember(kind)
    for kind in sorted(_within(reader, request), key=lambda kind: kind.minute):
        counts[places.key(kind.log)].add(kind)
    if isinstance(rule.params, NoDataParams) and not rule.group_by:
        counts[WHOLE].freeze()
    for found in counts.values():
        found.freeze()
    return dict(counts)


def _before(reader: Reader, rule: Rule, since: datetime) -> Iterable[Kind]:
    """Read what a new rule learns from stored logs: the history of a `spike`, the groups that `no_data` misses."""
    if isinstance(rule.params, SpikeParams):
        start = since - rule.window * (rule.params.baseline_windows + 1)
        return reader.first_matches_by_minute(start, since)
    if isinstance(rule.params, NoDataParams) and rule.group_by:
        return reader.latest_by_minute(since - stay(rule), since)
    return []


def _within(reader: Reader, request: Request) -> Iterable[Kind]:
    if isinstance(request.rule.params, SpikeParams):
        return reader.first_matches_by_minute(request.since.replace(microsecond=0), request.until)
    return reader.latest_by_minute(request.since.replace(microsecond=0), request.until)


def _stuck(reader: Reader, request: Request, settings: Settings) -> Iterator[tuple[str, Stuck]]:
    rule = request.rule
    assert isinstance(rule.params, StuckParams)
    age = timedelta(minutes=rule.params.older_than_minutes)
    places = Places(rule)
    found: dict[str, Stuck] = defaultdict(Stuck)
    for versions in reader.unfinished(request.since, request.until, age):
        given_up_at = versions[0].occurred_at + timedelta(hours=settings.settle_hours)
        for version, span in stuck_spans(versions, reader.matching(versions), age, given_up_at, request.since):
            found[places.key(version)].add(version.log_id, minute_of(span[0]), minute_of(span[1]))
    yield from found.items()
