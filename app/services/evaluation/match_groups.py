"""A rule and group with matches to process: loads its state and finds its episodes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.models import Alert
from app.services.alerts.alert_rows import load_open_alerts
from app.services.alerts.fingerprint import fingerprint
from app.services.evaluation import known_values, window_queries
from app.services.evaluation.completeness import Completeness
from app.services.rules.conditions import new_value
from app.services.rules.conditions.base import MatchCondition
from app.services.rules.episodes import Episode, OpenEpisode, Point, find_episodes
from app.services.rules.groups import group_values
from app.services.rules.rule import Rule
from app.services.rules.schedule import contains
from app.services.rules.types import LogVersion

MICROSECOND = timedelta(microseconds=1)


@dataclass
class MatchGroup:
    """One rule and group with matches to process."""

    rule: Rule
    key: str
    new_logs: dict[int, LogVersion] = field(default_factory=dict)
    """Logs that match for the first time, by id. Their matches are inserted."""
    pending: dict[int, Point] = field(default_factory=dict)
    """Stored matches that wait until the streams are complete."""
    stored: list[Point] = field(default_factory=list)
    """Other stored matches within relevant windows."""
    open: Alert | None = None
    new_values: dict[int, str] = field(default_factory=dict)
    """For `new_value`: the new logs with a new value, and that value as JSON."""
    superseded: set[int] = field(default_factory=set)
    """Pending matches whose value turned out to be known."""

    @property
    def condition(self) -> MatchCondition:
        """The condition of the rule."""
        return match_condition(self.rule)

    @property
    def fingerprint(self) -> str:
        """The identity of the group's alerts."""
        return fingerprint(self.rule.id, self.key)

    @property
    def values(self) -> dict[str, Any]:
        """The values of the group."""
        return group_values(self.key)

    def uncounted(self) -> list[Point]:
        """The new and pending matches that count towards no alert yet, by Twilio's time."""
        new_points = [
            Point(
                each.changed_at, each.sid, log_id, each.error_code, None, self.new_values.get(log_id), each.account_id
            )
            for log_id, each in self.new_logs.items()
        ]
        return sorted([*new_points, *self.pending.values()])


MatchGroups = dict[tuple[UUID, str], MatchGroup]


def load(session: Session, groups: MatchGroups, completeness: Completeness) -> None:
    """Load the open alert of each group, its pending matches, and the stored matches within relevant windows."""
    by_fingerprint = {group.fingerprint: group for group in groups.values()}
    for key, alert in load_open_alerts(session, by_fingerprint).items():
        by_fingerprint[key].open = alert
    ids = sorted({rule_id for rule_id, _ in groups})
    pending_rows = session.execute(
        text(
            "SELECT rule_id, group_key, epoch, changed_at, sid, log_id, error_code, new_value, account_id"
            " FROM matches WHERE held AND rule_id = ANY(:ids)"
        ),
        {"ids": ids},
    )
    for rule_id, key, epoch, *values in pending_rows:
        group = groups.get((rule_id, key))
        if group is not None and epoch == group.rule.epoch:
            at, sid, log_id, code, value, account_id = values
            group.pending[log_id] = Point(at, sid, log_id, code, None, value, account_id)
    _update_known_values(session, groups)
    _load_stored(session, groups, completeness)


def _load_stored(session: Session, groups: MatchGroups, completeness: Completeness) -> None:
    """Load the stored matches that the conditions of these groups need."""
    spans: list[window_queries.MatchSpan] = []
    newest_requests: list[window_queries.NewestMatches] = []
    for group in groups.values():
        if group.condition.newest_needed:
            _request_window_matches(group, completeness, spans, newest_requests)
        elif group.rule.schedule is not None or group.condition.watched_field:
            _request_skipped_matches(group, completeness, spans)
    for rule_id, key, point in [
        *window_queries.matches_within(session, spans),
        *window_queries.newest_matches(session, newest_requests),
    ]:
        group = groups[rule_id, key]
        if point.log_id not in group.pending:
            group.stored.append(point)


def _request_window_matches(
    group: MatchGroup,
    completeness: Completeness,
    spans: list[window_queries.MatchSpan],
    newest_requests: list[window_queries.NewestMatches],
) -> None:
    """Request the matches that a condition with a window needs: those around a match that may open an episode, and
    the newest ones if an open alert may be over.
    """
    rule, alert = group.rule, group.open
    uncounted_times = [point.at for point in group.uncounted()]
    if alert is None:
        if uncounted_times:
            spans.append(window_queries.MatchSpan(rule, group.key, uncounted_times[0] - rule.window, None))
        return
    if uncounted_times and uncounted_times[0] < alert.started_at:
        spans.append(
            window_queries.MatchSpan(rule, group.key, uncounted_times[0] - rule.window, alert.started_at + rule.window)
        )
    if (uncounted_times and uncounted_times[-1] > alert.last_match_at + rule.quiet_period) or _may_be_over(
        rule, alert, completeness
    ):
        newest = window_queries.NewestMatches(rule, group.key, alert.last_match_at, group.condition.newest_needed)
        newest_requests.append(newest)
        spans.append(window_queries.MatchSpan(rule, group.key, alert.last_match_at, None))


def _request_skipped_matches(
    group: MatchGroup, completeness: Completeness, spans: list[window_queries.MatchSpan]
) -> None:
    """Request matches that opened no episode when they arrived, but may now join one: one that an earlier match
    opens, or one that lasts longer than it seemed.
    """
    rule, alert = group.rule, group.open
    points = group.uncounted()
    opening_times = [point.at for point, opens in zip(points, opening_points(rule, points), strict=True) if opens]
    if opening_times and (alert is None or opening_times[0] < alert.started_at):
        spans.append(
            window_queries.MatchSpan(
                rule, group.key, opening_times[0] - MICROSECOND, alert.started_at if alert else None
            )
        )
    if alert is not None and _may_be_over(rule, alert, completeness):
        spans.append(window_queries.MatchSpan(rule, group.key, alert.last_match_at, None))


def _may_be_over(rule: Rule, alert: Alert, completeness: Completeness) -> bool:
    horizon = completeness.horizon(rule)
    return horizon is not None and horizon >= alert.last_match_at + rule.quiet_period


class _ValueMatch(NamedTuple):
    """A new match with a value."""

    key: known_values.ValueKey
    at: datetime
    log_id: int


def _update_known_values(session: Session, groups: MatchGroups) -> None:
    """Add the values of new matches to the known ones, and find which values are new and which no longer are."""
    matches = list(_value_matches(groups))
    if not matches:
        return
    rules = {rule_id: group.rule for (rule_id, _), group in groups.items() if group.condition.watched_field}
    stored_runs = known_values.load(session, rules, {match.key for match in matches})
    added = [(match.key, new_value.ValueRun(match.at, match.at)) for match in matches]
    updated_runs = known_values.add_runs(dict(stored_runs), rules, added)
    known_values.save(session, rules, stored_runs, updated_runs)
    for match in matches:
        if new_value.is_new(updated_runs[match.key], match.at, rules[match.key.rule_id].condition.lookback):
            groups[match.key.rule_id, match.key.group_key].new_values[match.log_id] = match.key.value
    _supersede_pending(groups, updated_runs)


def _value_matches(groups: MatchGroups) -> Iterator[_ValueMatch]:
    for (rule_id, key), group in groups.items():
        for log in group.new_logs.values() if group.condition.watched_field else ():
            if (value := known_values.value_of(group.rule, log)) is not None:
                yield _ValueMatch(known_values.ValueKey(rule_id, key, value), log.changed_at, log.log_id)


def _supersede_pending(groups: MatchGroups, updated_runs: known_values.Runs) -> None:
    """Mark the pending matches whose value turned out to be known."""
    for (rule_id, key), group in groups.items():
        for point in group.pending.values():
            runs = updated_runs.get(known_values.ValueKey(rule_id, key, point.new_value or ""))
            if runs is not None and not new_value.is_new(runs, point.at, group.condition.lookback):
                group.pending[point.log_id] = point._replace(new_value=None)
                group.superseded.add(point.log_id)


def match_condition(rule: Rule) -> MatchCondition:
    """Return the rule's condition as a `MatchCondition`."""
    assert isinstance(rule.condition, MatchCondition), "the others are judged by the minute"
    return rule.condition


def group_episodes(group: MatchGroup) -> list[Episode]:
    """Find the episodes of a group, oldest first."""
    rule = group.rule
    points = sorted({point.log_id: point for point in (*group.stored, *group.uncounted())}.values())
    open_episode = None
    if group.open is not None:
        open_episode = OpenEpisode(
            group.open.window_from, group.open.started_at, group.open.last_match_at, group.open.id
        )
    return find_episodes(
        points,
        opening_points(rule, points),
        rule.quiet_period,
        open_episode,
        rule.window,
        group.condition.saturation(points),
    )


def opening_points(rule: Rule, points: Sequence[Point]) -> list[bool]:
    """Return for each match whether it may open an episode: the condition holds, at a time inside the schedule."""
    opens = match_condition(rule).opens(points)
    if rule.schedule is None:
        return opens
    return [opens_here and contains(rule.schedule, point.at) for point, opens_here in zip(points, opens, strict=True)]
