"""Previews `each`, `threshold` and `new_value`: groups all matches of the span into episodes."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from app.services.evaluation import known_values
from app.services.evaluation.match_groups import MatchGroup, group_episodes, match_condition
from app.services.preview.log_reader import LogReader
from app.services.preview.result import GroupSlots, PreviewAlert, PreviewResult
from app.services.preview.run import PreviewRun
from app.services.rules.conditions.new_value import ValueRun, is_new
from app.services.rules.episodes import split_by_completeness
from app.services.rules.rule import Rule
from app.utils.clock import cut_to_second


def run(preview: PreviewRun) -> PreviewResult:
    """Find the episodes of the span. Those that are not over at the horizon stay open."""
    rule, since, reader = preview.rule, cut_to_second(preview.request.since), preview.reader
    slots = GroupSlots(rule)
    known_runs = _known_runs(reader, rule, since, slots)
    groups: dict[str, MatchGroup] = {}
    for log in sorted(reader.first_matches(since, preview.request.until), key=lambda log: (log.changed_at, log.sid)):
        key = slots.key(log)
        group = groups.setdefault(key, MatchGroup(rule, key))
        group.new_logs[log.log_id] = log
    times = {key: sorted(log.changed_at for log in group.new_logs.values()) for key, group in groups.items()}
    if rule.condition.watched_field:
        for group in groups.values():
            _mark_new_values(group, known_runs)

    def alerts(other: Rule) -> Iterator[PreviewAlert]:
        for group in groups.values():
            preview.deadline.check()
            yield from _alerts(replace(group, rule=other), preview.horizon)

    return PreviewResult(
        _measure(rule, times),
        lambda other: sum(1 for _ in alerts(other)),
        alerts=list(alerts(rule)),
        matches=[(at, 1) for found in times.values() for at in found],
    )


def _alerts(group: MatchGroup, horizon: datetime) -> Iterator[PreviewAlert]:
    """Yield the alerts of one group."""
    updates, _ = split_by_completeness(group_episodes(group), horizon)
    for episode, resolved in updates:
        ended = episode.ends_at if resolved else None
        yield PreviewAlert(group.values, episode.started_at, ended, len(episode.points) + episode.shared)


def _known_runs(reader: LogReader, rule: Rule, since: datetime, slots: GroupSlots) -> known_values.Runs:
    """Load the values that matches had within the lookback."""
    if not rule.condition.watched_field:
        return {}
    runs: known_values.Runs = {}
    for log, first_at, last_at in reader.known_matches(since - rule.condition.lookback, since):
        value = known_values.value_of(rule, log)
        key = slots.key(log)
        if value is not None:
            known_values.add_runs(
                runs, {rule.id: rule}, [(known_values.ValueKey(rule.id, key, value), ValueRun(first_at, last_at))]
            )
    return runs


def _mark_new_values(group: MatchGroup, known: known_values.Runs) -> None:
    """Mark the logs of a group that have a new value."""
    rule = group.rule
    value_matches = [
        (known_values.ValueKey(rule.id, group.key, value), log)
        for log in group.new_logs.values()
        if (value := known_values.value_of(rule, log)) is not None
    ]
    known_values.add_runs(
        known,
        {rule.id: rule},
        [(value_key, ValueRun(log.changed_at, log.changed_at)) for value_key, log in value_matches],
    )
    for value_key, log in value_matches:
        if is_new(known[value_key], log.changed_at, rule.condition.lookback):
            group.new_values[log.log_id] = value_key.value


def _measure(rule: Rule, times: dict[str, list[datetime]]) -> Callable[[datetime], float] | None:
    """Return a function that counts the matches in the window that ends at a time, for the largest group."""
    if not match_condition(rule).newest_needed:
        return None
    window = rule.window

    def matches_in_window(at: datetime) -> float:
        counts = (bisect_right(found, at) - bisect_right(found, at - window) for found in times.values())
        return float(max(counts, default=0))

    return matches_in_window
