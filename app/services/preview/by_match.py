"""Previews `each`, `threshold` and `new_value`: all matches of the span at once, put together to episodes."""

from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime

from app.services.alerts.gathering import Group, episodes_of
from app.services.preview.outcome import Outcome, Places, Told
from app.services.preview.reading import Reader
from app.services.preview.request import Request
from app.services.rules import seen
from app.services.rules.conditions.new_value import Run, is_new
from app.services.rules.episodes import settle
from app.services.rules.types import NewValueParams, Rule, ThresholdParams
from app.utils.clock import cut_to_second


def run(reader: Reader, request: Request, horizon: datetime) -> Outcome:
    """Find the episodes of the span; one that is not over by the horizon stays open."""
    rule, since = request.rule, cut_to_second(request.since)
    places = Places(rule)
    known = _known(reader, rule, since, places)
    groups: dict[str, Group] = {}
    for log in sorted(reader.first_matches(since, request.until), key=lambda log: (log.changed_at, log.sid)):
        key = places.key(log)
        group = groups.setdefault(key, Group(rule, key))
        group.fresh[log.log_id] = log
    times = {key: sorted(log.changed_at for log in group.fresh.values()) for key, group in groups.items()}
    outcome = Outcome(_measure(rule, times), matches=[(at, 1) for found in times.values() for at in found])
    for group in groups.values():
        if isinstance(rule.params, NewValueParams):
            _note_new_values(group, known)
        steps, _ = settle(episodes_of(group), horizon)
        for episode, resolved in steps:
            ended = episode.ends_at if resolved else None
            occurrences = len(episode.points) + episode.shared
            outcome.alerts.append(Told(group.values, episode.started_at, ended, occurrences))
    return outcome


def _known(reader: Reader, rule: Rule, since: datetime, places: Places) -> seen.Runs:
    """Learn the values that matches carried in the lookback."""
    if not isinstance(rule.params, NewValueParams):
        return {}
    runs: seen.Runs = {}
    for log, first_at, last_at in reader.learnt(since - seen.lookback(rule), since):
        value = seen.value_of(rule, log)
        key = places.key(log)
        if value is not None:
            seen.learn(runs, {rule.id: rule}, [(seen.Place(rule.id, key, value), Run(first_at, last_at))])
    return runs


def _note_new_values(group: Group, known: seen.Runs) -> None:
    """Note which logs of a group carry a value that is new."""
    rule = group.rule
    carriers = [
        (seen.Place(rule.id, group.key, value), log)
        for log in group.fresh.values()
        if (value := seen.value_of(rule, log)) is not None
    ]
    seen.learn(known, {rule.id: rule}, [(place, Run(log.changed_at, log.changed_at)) for place, log in carriers])
    for place, log in carriers:
        if is_new(known[place], log.changed_at, seen.lookback(rule)):
            group.new_values[log.log_id] = place.value


def _measure(rule: Rule, times: dict[str, list[datetime]]) -> Callable[[datetime], float] | None:
    """Return what counts the matches of the window that ends at a moment, of the fullest group."""
    if not isinstance(rule.params, ThresholdParams):
        return None
    window = rule.window

    def held(at: datetime) -> float:
        counts = (bisect_right(found, at) - bisect_right(found, at - window) for found in times.values())
        return float(max(counts, default=0))

    return held
