"""Takes in matches of `each`, `threshold` and `new_value`, finds their episodes, and moves the alerts they call for.

Everything here happens in the caller's transaction: matches, alerts and deliveries are one commit. The rules concerned
are locked, so that a rule has one evaluator at a time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.config import Settings
from app.database import copy_rows, update_rows
from app.enums import ResolveReason
from app.models import Alert
from app.services.alerts.fingerprint import fingerprint
from app.services.alerts.register import SAMPLES, Habits, Register, load_open
from app.services.alerts.summary import summarize
from app.services.rules import seen, windows
from app.services.rules.conditions import each, new_value, threshold
from app.services.rules.engine import Completeness
from app.services.rules.episodes import Episode, Point, Span, find, settle
from app.services.rules.groups import group_values
from app.services.rules.schedule import contains
from app.services.rules.types import EachParams, LogVersion, NewValueParams, Rule, ThresholdParams

MATCH_COLUMNS = (
    "rule_id",
    "log_id",
    "epoch",
    "occurred_at",
    "changed_at",
    "sid",
    "account_id",
    "error_code",
    "group_key",
    "alert_id",
    "held",
    "novel",
)

log = structlog.get_logger()


class Hit(NamedTuple):
    """A log that matches a rule for the first time."""

    rule: Rule
    log: LogVersion
    group_key: str


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
    novel: set[int] = field(default_factory=set)
    """Of `new_value`: the fresh logs that carry a value that is new."""

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
            Point(each.changed_at, each.sid, log_id, each.error_code, False, log_id in self.novel)
            for log_id, each in self.fresh.items()
        ]
        return sorted([*fresh, *self.held.values()])


Groups = dict[tuple[UUID, str], Group]


@dataclass
class _Outcome:
    """What became of matches, by rule and log."""

    counted: dict[tuple[UUID, int], UUID] = field(default_factory=dict)
    held: set[tuple[UUID, int]] = field(default_factory=set)
    errors: dict[UUID, str] = field(default_factory=dict)


def track(
    session: Session, hits: Sequence[Hit], completeness: Completeness, settings: Settings, now: datetime
) -> tuple[int, dict[UUID, str]]:
    """Take in new matches of whatever rules.

    Returns: how many deliveries were made, and the rules that failed, with why.
    """
    groups: Groups = {}
    timed: list[Hit] = []
    for hit in hits:
        if not isinstance(hit.rule.params, (EachParams, ThresholdParams, NewValueParams)):
            timed.append(hit)
            continue
        group = groups.get((hit.rule.id, hit.group_key))
        if group is None:
            group = groups[hit.rule.id, hit.group_key] = Group(hit.rule, hit.group_key)
        group.fresh[hit.log.log_id] = hit.log
    copy_rows(session, "matches", MATCH_COLUMNS, (_row(hit.rule, hit.log, hit.group_key) for hit in timed))
    return _move(session, groups, completeness, settings, now)


def track_time(
    session: Session, rules: Mapping[UUID, Rule], completeness: Completeness, settings: Settings, now: datetime
) -> tuple[int, dict[UUID, str]]:
    """End what went quiet, and go on with what was held back for the streams to be complete; as `track`."""
    groups: Groups = {}
    quiet = session.execute(
        text(
            "SELECT alerts.rule_id, alerts.group_key, alerts.last_match_at FROM alerts"
            " JOIN rules ON rules.id = alerts.rule_id"
            " WHERE alerts.status <> 'resolved' AND rules.condition ->> 'type' IN ('each', 'threshold', 'new_value')"
            " AND alerts.last_match_at + rules.resolve_after_minutes * interval '1 minute' <= :now"
        ),
        {"now": now},
    )
    for rule_id, key, last_match_at in quiet:
        rule = rules.get(rule_id)
        horizon = completeness.horizon(rule) if rule else None
        if rule and horizon and last_match_at + rule.quiet <= horizon:
            groups[rule_id, key] = Group(rule, key)
    for rule_id, key in session.execute(text("SELECT DISTINCT rule_id, group_key FROM matches WHERE held")):
        if rule_id in rules:
            groups.setdefault((rule_id, key), Group(rules[rule_id], key))
    return _move(session, groups, completeness, settings, now)


def _move(
    session: Session, groups: Groups, completeness: Completeness, settings: Settings, now: datetime
) -> tuple[int, dict[UUID, str]]:
    if not groups:
        return 0, {}
    _lock_rules(session, groups)
    _load(session, groups, completeness)
    register = Register(session, settings, now)
    register.load_previous_firings(group.fingerprint for group in groups.values())
    outcome = _Outcome()
    for group in groups.values():
        try:
            _judge(group, completeness, register, outcome)
        except Exception as error:  # a rule that fails must not stop the others
            log.exception("a rule failed", rule_id=str(group.rule.id))
            outcome.errors[group.rule.id] = f"judging its matches failed: {type(error).__name__}"
            outcome.held |= {(group.rule.id, log_id) for log_id in (*group.fresh, *group.held)}
    register.save_alerts()
    _save_matches(session, groups, outcome)
    return register.save_notices(), outcome.errors


def _lock_rules(session: Session, groups: Groups) -> None:
    """Become the one evaluator of these rules, in an order that no two can wait for each other in a circle."""
    ids = sorted({rule_id for rule_id, _ in groups})
    session.execute(text("SELECT id FROM rules WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"), {"ids": ids})


def _load(session: Session, groups: Groups, completeness: Completeness) -> None:
    """Load the open alert of each group, what is held, and the stored matches that windows need."""
    by_fingerprint = {group.fingerprint: group for group in groups.values()}
    for key, alert in load_open(session, by_fingerprint).items():
        by_fingerprint[key].open = alert
    ids = sorted({rule_id for rule_id, _ in groups})
    held = session.execute(
        text(
            "SELECT rule_id, group_key, epoch, changed_at, sid, log_id, error_code, novel"
            " FROM matches WHERE held AND rule_id = ANY(:ids)"
        ),
        {"ids": ids},
    )
    for rule_id, key, epoch, *values in held:
        group = groups.get((rule_id, key))
        if group is not None and epoch == group.rule.epoch:
            at, sid, log_id, code, novel = values
            group.held[log_id] = Point(at, sid, log_id, code, False, novel)
    _load_windows(session, groups, completeness)
    _load_novelty(session, groups)


def _load_windows(session: Session, groups: Groups, completeness: Completeness) -> None:
    """Load what a `threshold` needs to see: the windows around matches that may open an episode, and the newest ones
    where an open alert may be over."""
    around: list[windows.Span] = []
    newest: list[windows.Newest] = []
    for group in groups.values():
        params, alert = group.rule.params, group.open
        if not isinstance(params, ThresholdParams):
            continue
        loose = [point.at for point in group.loose()]
        if alert is None:
            if loose:
                around.append(windows.Span(group.rule, group.key, loose[0] - group.rule.window, None))
            continue
        if loose and loose[0] < alert.started_at:
            until = alert.started_at + group.rule.window
            around.append(windows.Span(group.rule, group.key, loose[0] - group.rule.window, until))
        horizon = completeness.horizon(group.rule)
        ends_at = alert.last_match_at + group.rule.quiet
        if (loose and loose[-1] > ends_at) or (horizon is not None and horizon >= ends_at):
            newest.append(windows.Newest(group.rule, group.key, alert.last_match_at, params.count))
            around.append(windows.Span(group.rule, group.key, alert.last_match_at, None))
    for rule_id, key, point in [*windows.matches_within(session, around), *windows.newest_matches(session, newest)]:
        group = groups[rule_id, key]
        if point.log_id not in group.held:
            group.stored.append(point)


def _load_novelty(session: Session, groups: Groups) -> None:
    """Learn the values that fresh matches of `new_value` carry, and note which are new."""
    wanted = [group for group in groups.values() if isinstance(group.rule.params, NewValueParams) and group.fresh]
    for rule_id, key, log_id in seen.learn(session, [(group.rule, group.key, group.fresh) for group in wanted]):
        groups[rule_id, key].novel.add(log_id)


def _judge(group: Group, completeness: Completeness, register: Register, outcome: _Outcome) -> None:
    """Find the episodes of a group, and turn them into alerts."""
    rule = group.rule
    steps, held = settle(episodes_of(group), completeness.horizon(rule))
    for step in steps:
        episode = step.episode
        if episode.continues and group.open is not None:
            alert = group.open
            register.move(alert)
        else:
            alert = register.open(
                fingerprint=group.fingerprint,
                rule_id=rule.id,
                rule_name=rule.name,
                severity=rule.severity,
                group=group.values,
                group_key=group.key,
                started_at=episode.started_at,
                window_from=episode.window_from,
            )
        _extend(alert, rule, episode)
        alert.left_out_accounts = completeness.left_out_of(rule)
        outcome.counted |= {(rule.id, point.log_id): alert.id for point in episode.points}
        # What is over is told as resolved, and not as an update a moment before.
        if alert.firing_notified_at is None or not step.resolved:
            register.tell(alert, Habits.of(rule))
        if step.resolved:
            register.close(alert, ResolveReason.QUIET, episode.ends_at)
            register.tell(alert, Habits.of(rule))
    outcome.held |= {(rule.id, point.log_id) for episode in held for point in episode.points}


def episodes_of(group: Group) -> list[Episode]:
    """Find the episodes of a group by its rule's condition, oldest first."""
    rule = group.rule
    points = sorted({point.log_id: point for point in (*group.stored, *group.loose())}.values())
    span = None
    if group.open is not None:
        span = Span(group.open.window_from, group.open.started_at, group.open.last_match_at)
    window, crowd = timedelta(0), None
    if isinstance(rule.params, ThresholdParams):
        opens = threshold.opens(rule.params, points)
        window, crowd = timedelta(minutes=rule.params.window_minutes), threshold.crowd(rule.params, points)
    elif isinstance(rule.params, NewValueParams):
        opens = new_value.opens(points)
    else:
        opens = each.opens(points)
    return find(points, in_schedule(rule, points, opens), rule.quiet, span, window, crowd)


def in_schedule(rule: Rule, points: Sequence[Point], opens: Sequence[bool]) -> list[bool]:
    """Let nothing open at a time outside the rule's schedule."""
    if rule.schedule is None:
        return list(opens)
    return [opening and contains(rule.schedule, point.at) for point, opening in zip(points, opens, strict=True)]


def _extend(alert: Alert, rule: Rule, episode: Episode) -> None:
    """Bring an alert up to an episode: its span, its matches, and what it says."""
    newest_first = sorted(episode.points, reverse=True)
    later = not alert.occurrences or episode.last_at > alert.last_match_at
    alert.window_from = min(alert.window_from, episode.window_from)
    alert.started_at, alert.last_match_at = episode.started_at, episode.last_at
    alert.occurrences += len(episode.points) + episode.shared
    alert.value = float(alert.occurrences)
    sids = [point.sid for point in newest_first[:SAMPLES]]
    alert.sample_sids = (sids + alert.sample_sids if later else alert.sample_sids + sids)[:SAMPLES]
    codes = [point.error_code for point in newest_first if point.error_code is not None]
    if codes and (later or alert.error_code is None):
        alert.error_code = codes[0]
    alert.summary = summarize(rule, alert.group, alert.occurrences, alert.error_code)


def _row(
    rule: Rule, log_version: LogVersion, key: str, alert_id: UUID | None = None, held: bool = False, novel: bool = False
) -> tuple[object, ...]:
    return (
        rule.id,
        log_version.log_id,
        rule.epoch,
        log_version.occurred_at,
        log_version.changed_at,
        log_version.sid,
        log_version.account_id,
        log_version.error_code,
        key,
        alert_id,
        held,
        novel,
    )


def _save_matches(session: Session, groups: Groups, outcome: _Outcome) -> None:
    """Insert the fresh matches, and bring stored ones up to what became of them."""
    copy_rows(session, "matches", MATCH_COLUMNS, _fresh_rows(groups, outcome))
    changed: dict[tuple[UUID, int], tuple[object, ...]] = defaultdict(tuple)
    for (rule_id, _), group in groups.items():
        for point in (*group.held.values(), *group.stored):
            alert_id = outcome.counted.get((rule_id, point.log_id))
            held = (rule_id, point.log_id) in outcome.held
            if alert_id is not None or held != (point.log_id in group.held):
                changed[rule_id, point.log_id] = (rule_id, point.log_id, group.rule.epoch, alert_id, held)
    keys = {"rule_id": "uuid", "log_id": "bigint", "epoch": "int"}
    update_rows(session, "matches", keys, {"alert_id": "uuid", "held": "bool"}, list(changed.values()))


def _fresh_rows(groups: Groups, outcome: _Outcome) -> Iterable[tuple[object, ...]]:
    for (rule_id, key), group in groups.items():
        for log_id, log_version in group.fresh.items():
            alert_id = outcome.counted.get((rule_id, log_id))
            held = (rule_id, log_id) in outcome.held
            yield _row(group.rule, log_version, key, alert_id, held, log_id in group.novel)
