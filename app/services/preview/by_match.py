"""Previews `each`, `threshold` and `new_value`: all matches of the span at once, put together to episodes."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta

import orjson

from app.services.alerts.matching import Group, episodes_of
from app.services.preview.outcome import Outcome, Places, Told
from app.services.preview.reading import Reader
from app.services.preview.request import Request
from app.services.rules.conditions.new_value import Seen, learn
from app.services.rules.episodes import settle
from app.services.rules.groups import field_of
from app.services.rules.types import LogVersion, NewValueParams, Rule, ThresholdParams
from app.utils.clock import cut_to_second

Values = dict[tuple[str, str], Seen]
"""(group, value as JSON) to when it was seen."""


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
            group.novel = _novel(rule.params, group, known)
        steps, _ = settle(episodes_of(group), horizon)
        for episode, resolved in steps:
            ended = episode.ends_at if resolved else None
            occurrences = len(episode.points) + episode.shared
            outcome.alerts.append(Told(group.values, episode.started_at, ended, occurrences))
    return outcome


def _known(reader: Reader, rule: Rule, since: datetime, places: Places) -> Values:
    """Learn the values that matches carried in the lookback."""
    known: Values = {}
    if not isinstance(rule.params, NewValueParams):
        return known
    for log, first_at, last_at in reader.learnt(since - timedelta(days=rule.params.lookback_days), since):
        value = field_of(log, rule.params.field)
        key = places.key(log)
        if value is not None:
            place = key, orjson.dumps(value).decode()
            before = known.get(place, Seen(first_at, last_at))
            known[place] = Seen(min(before.since_at, first_at), max(before.last_at, last_at))
    return known


def _novel(params: NewValueParams, group: Group, known: Values) -> set[int]:
    """Say which logs of a group carry a value that is new."""
    carriers: dict[str, list[LogVersion]] = defaultdict(list)
    for log in group.fresh.values():
        value = field_of(log, params.field)
        if value is not None:
            carriers[orjson.dumps(value).decode()].append(log)
    novel: set[int] = set()
    for value, logs in carriers.items():
        logs.sort(key=lambda log: (log.changed_at, log.sid, log.log_id))
        _, fresh = learn(params, known.get((group.key, value)), [log.changed_at for log in logs])
        novel |= {log.log_id for log, new in zip(logs, fresh, strict=True) if new}
    return novel


def _measure(rule: Rule, times: dict[str, list[datetime]]) -> Callable[[datetime], float] | None:
    """Return what counts the matches of the window that ends at a moment, of the fullest group."""
    if not isinstance(rule.params, ThresholdParams):
        return None
    window = rule.window

    def held(at: datetime) -> float:
        counts = (bisect_right(found, at) - bisect_right(found, at - window) for found in times.values())
        return float(max(counts, default=0))

    return held
