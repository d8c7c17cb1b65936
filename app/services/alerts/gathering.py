"""One rule and group that something may happen to: what is loaded of it, and the episodes that come of that."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.models import Alert
from app.services.alerts.fingerprint import fingerprint
from app.services.alerts.register import load_open
from app.services.rules import seen, windows
from app.services.rules.conditions import each, new_value, threshold
from app.services.rules.engine import Completeness
from app.services.rules.episodes import Episode, Point, Span, find
from app.services.rules.groups import group_values
from app.services.rules.schedule import contains
from app.services.rules.types import LogVersion, NewValueParams, Rule, ThresholdParams

MOMENT = timedelta(microseconds=1)


@dataclass
class Group:
    """One rule and group that something may happen to."""

    rule: Rule
    key: str
    fresh: dict[int, LogVersion] = field(default_factory=dict)
    """Logs that match for the first time, by id: their matches are to be inserted."""
    held: dict[int, Point] = field(default_factory=dict)
    """Stored matches that wait for the streams to be complete."""
    stored: list[Point] = field(default_factory=list)
    """Other stored matches that windows need."""
    open: Alert | None = None
    new_values: dict[int, str] = field(default_factory=dict)
    """Of `new_value`: the fresh logs that carry a value that is new, and that value as JSON."""
    no_longer_new: set[int] = field(default_factory=set)
    """Held matches whose value was there before, as is known by now."""

    @property
    def fingerprint(self) -> str:
        """The identity of the group's alerts."""
        return fingerprint(self.rule.id, self.key)

    @property
    def values(self) -> dict[str, Any]:
        """The values that the group stands for."""
        return group_values(self.key)

    def loose(self) -> list[Point]:
        """The matches that count towards no alert yet and are new or held, in the order of Twilio's time."""
        fresh = [
            Point(each.changed_at, each.sid, log_id, each.error_code, None, self.new_values.get(log_id))
            for log_id, each in self.fresh.items()
        ]
        return sorted([*fresh, *self.held.values()])


Groups = dict[tuple[UUID, str], Group]


def load(session: Session, groups: Groups, completeness: Completeness) -> None:
    """Load the open alert of each group, what is held, and the stored matches that windows need."""
    by_fingerprint = {group.fingerprint: group for group in groups.values()}
    for key, alert in load_open(session, by_fingerprint).items():
        by_fingerprint[key].open = alert
    ids = sorted({rule_id for rule_id, _ in groups})
    held = session.execute(
        text(
            "SELECT rule_id, group_key, epoch, changed_at, sid, log_id, error_code, new_value"
            " FROM matches WHERE held AND rule_id = ANY(:ids)"
        ),
        {"ids": ids},
    )
    for rule_id, key, epoch, *values in held:
        group = groups.get((rule_id, key))
        if group is not None and epoch == group.rule.epoch:
            at, sid, log_id, code, value = values
            group.held[log_id] = Point(at, sid, log_id, code, None, value)
    _learn_values(session, groups)
    _load_stored(session, groups, completeness)


def _load_stored(session: Session, groups: Groups, completeness: Completeness) -> None:
    """Load the stored matches that the conditions of these groups need to see."""
    around: list[windows.Span] = []
    newest: list[windows.Newest] = []
    for group in groups.values():
        if isinstance(group.rule.params, ThresholdParams):
            _ask_windows(group, group.rule.params, completeness, around, newest)
        elif group.rule.schedule is not None or isinstance(group.rule.params, NewValueParams):
            _ask_passed_by(group, completeness, around)
    for rule_id, key, point in [*windows.matches_within(session, around), *windows.newest_matches(session, newest)]:
        group = groups[rule_id, key]
        if point.log_id not in group.held:
            group.stored.append(point)


def _ask_windows(
    group: Group,
    params: ThresholdParams,
    completeness: Completeness,
    around: list[windows.Span],
    newest: list[windows.Newest],
) -> None:
    """Ask for what a `threshold` needs to see: the windows around matches that may open an episode, and the newest
    ones where an open alert may be over."""
    rule, alert = group.rule, group.open
    loose = [point.at for point in group.loose()]
    if alert is None:
        if loose:
            around.append(windows.Span(rule, group.key, loose[0] - rule.window, None))
        return
    if loose and loose[0] < alert.started_at:
        around.append(windows.Span(rule, group.key, loose[0] - rule.window, alert.started_at + rule.window))
    if (loose and loose[-1] > alert.last_match_at + rule.quiet) or _may_be_over(rule, alert, completeness):
        newest.append(windows.Newest(rule, group.key, alert.last_match_at, params.count))
        around.append(windows.Span(rule, group.key, alert.last_match_at, None))


def _ask_passed_by(group: Group, completeness: Completeness, around: list[windows.Span]) -> None:
    """Ask for matches that opened nothing when they came, and may join what is known of by now: what a match before
    them opens, and what goes on longer than it seemed."""
    rule, alert = group.rule, group.open
    points = group.loose()
    opening = [point.at for point, opens in zip(points, opens_at(rule, points), strict=True) if opens]
    if opening and (alert is None or opening[0] < alert.started_at):
        around.append(windows.Span(rule, group.key, opening[0] - MOMENT, alert.started_at if alert else None))
    if alert is not None and _may_be_over(rule, alert, completeness):
        around.append(windows.Span(rule, group.key, alert.last_match_at, None))


def _may_be_over(rule: Rule, alert: Alert, completeness: Completeness) -> bool:
    horizon = completeness.horizon(rule)
    return horizon is not None and horizon >= alert.last_match_at + rule.quiet


def _learn_values(session: Session, groups: Groups) -> None:
    """Learn the values that fresh matches of `new_value` carry, and note which are new, and which no longer are."""
    carriers: list[tuple[seen.Place, datetime, int]] = []
    rules: dict[UUID, Rule] = {}
    for (rule_id, key), group in groups.items():
        if isinstance(group.rule.params, NewValueParams):
            rules[rule_id] = group.rule
            for log_version in group.fresh.values():
                value = seen.value_of(group.rule, log_version)
                if value is not None:
                    carriers.append((seen.Place(rule_id, key, value), log_version.changed_at, log_version.log_id))
    if not carriers:
        return
    before = seen.load(session, rules, {place for place, _, _ in carriers})
    after = seen.learn(dict(before), rules, [(place, new_value.Run(at, at)) for place, at, _ in carriers])
    seen.save(session, rules, before, after)
    for place, at, log_id in carriers:
        if new_value.is_new(after[place], at, seen.lookback(rules[place.rule_id])):
            groups[place.rule_id, place.group_key].new_values[log_id] = place.value
    for (rule_id, key), group in groups.items():
        for point in group.held.values():
            runs = after.get(seen.Place(rule_id, key, point.new_value or ""))
            if runs is not None and not new_value.is_new(runs, point.at, seen.lookback(group.rule)):
                group.held[point.log_id] = point._replace(new_value=None)
                group.no_longer_new.add(point.log_id)


def episodes_of(group: Group) -> list[Episode]:
    """Find the episodes of a group by its rule's condition, oldest first."""
    rule = group.rule
    points = sorted({point.log_id: point for point in (*group.stored, *group.loose())}.values())
    span = None
    if group.open is not None:
        span = Span(group.open.window_from, group.open.started_at, group.open.last_match_at, group.open.id)
    crowd = threshold.crowd(rule.params, points) if isinstance(rule.params, ThresholdParams) else None
    return find(points, opens_at(rule, points), rule.quiet, span, rule.window, crowd)


def opens_at(rule: Rule, points: Sequence[Point]) -> list[bool]:
    """Say for each match whether an episode may open at it: the condition holds, and at a time inside the schedule."""
    if isinstance(rule.params, ThresholdParams):
        opens = threshold.opens(rule.params, points)
    elif isinstance(rule.params, NewValueParams):
        opens = new_value.opens(points)
    else:
        opens = each.opens(points)
    if rule.schedule is None:
        return opens
    return [opening and contains(rule.schedule, point.at) for point, opening in zip(points, opens, strict=True)]
