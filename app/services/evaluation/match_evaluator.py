"""Processes matches of `each`, `threshold` and `new_value`: finds their episodes, and opens and resolves alerts.

Everything happens in the caller's transaction: matches, alerts and deliveries are one commit. The rules are locked, so
that each has one evaluator at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.bulk import copy_rows, update_rows
from app.config import Settings
from app.enums import ResolveReason
from app.models import Alert
from app.services.alerts import dependencies
from app.services.alerts.changes import AlertChanges, NotifySettings
from app.services.alerts.state_machine import MAX_SAMPLES, Describe, Extend, Resolve
from app.services.alerts.summary import summarize
from app.services.evaluation import match_groups
from app.services.evaluation.completeness import Completeness
from app.services.evaluation.match_groups import MatchGroup, MatchGroups
from app.services.evaluation.rule_set import lock_rules
from app.services.rules.conditions.base import MatchCondition
from app.services.rules.conditions.registry import MATCH_TYPES
from app.services.rules.episodes import Episode, split_by_completeness
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion

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
    "new_value",
)

log = structlog.get_logger()


class NewMatch(NamedTuple):
    """A log that matches a rule for the first time."""

    rule: Rule
    log: LogVersion
    group_key: str


@dataclass
class _MatchOutcome:
    """The new state of matches, by rule and log."""

    alert_ids: dict[tuple[UUID, int], UUID] = field(default_factory=dict)
    pending: set[tuple[UUID, int]] = field(default_factory=set)
    errors: dict[UUID, str] = field(default_factory=dict)

    def keep_pending(self, group: MatchGroup) -> None:
        """Keep the uncounted matches of a group for the next evaluation: no alert has counted them."""
        matches = {(group.rule.id, log_id) for log_id in (*group.new_logs, *group.pending)}
        stored = {(group.rule.id, point.log_id) for point in group.stored}
        for match in matches | stored:
            self.alert_ids.pop(match, None)
        self.pending |= matches


def add_matches(
    session: Session, new_matches: Sequence[NewMatch], completeness: Completeness, settings: Settings, now: datetime
) -> tuple[AlertChanges, dict[UUID, str]]:
    """Process new matches of any rules, which the caller has locked.

    Returns: the alert changes, whose notices the caller enqueues, and the rules that failed, with the reason.
    """
    groups: MatchGroups = {}
    minute_matches: list[NewMatch] = []
    for match in new_matches:
        if not isinstance(match.rule.condition, MatchCondition):
            minute_matches.append(match)
            continue
        group = groups.get((match.rule.id, match.group_key))
        if group is None:
            group = groups[match.rule.id, match.group_key] = MatchGroup(match.rule, match.group_key)
        group.new_logs[match.log.log_id] = match.log
    copy_rows(
        session,
        "matches",
        MATCH_COLUMNS,
        (_match_row(match.rule, match.log, match.group_key) for match in minute_matches),
    )
    return _evaluate_groups(session, groups, completeness, settings, now)


def evaluate_idle_groups(
    session: Session, rules: Mapping[UUID, Rule], completeness: Completeness, settings: Settings, now: datetime
) -> tuple[AlertChanges, dict[UUID, str]]:
    """Resolve alerts whose quiet period is over, and process pending matches; otherwise as `add_matches`."""
    groups: MatchGroups = {}
    quiet_rows = session.execute(
        text(
            "SELECT alerts.rule_id, alerts.group_key, alerts.last_match_at FROM alerts"
            " JOIN rules ON rules.id = alerts.rule_id"
            " WHERE alerts.status <> 'resolved' AND rules.condition ->> 'type' = ANY(:types)"
            " AND alerts.last_match_at + rules.resolve_after_minutes * interval '1 minute' <= :now"
        ),
        {"now": now, "types": list(MATCH_TYPES)},
    )
    for rule_id, key, last_match_at in quiet_rows:
        rule = rules.get(rule_id)
        horizon = completeness.horizon(rule) if rule else None
        if rule and horizon and last_match_at + rule.quiet_period <= horizon:
            groups[rule_id, key] = MatchGroup(rule, key)
    for rule_id, key in session.execute(text("SELECT DISTINCT rule_id, group_key FROM matches WHERE held")):
        if rule_id in rules:
            groups.setdefault((rule_id, key), MatchGroup(rules[rule_id], key))
    lock_rules(session, {rule_id for rule_id, _ in groups})
    return _evaluate_groups(session, groups, completeness, settings, now)


def _evaluate_groups(
    session: Session, groups: MatchGroups, completeness: Completeness, settings: Settings, now: datetime
) -> tuple[AlertChanges, dict[UUID, str]]:
    alert_changes = AlertChanges(session, settings, now)
    if not groups:
        return alert_changes, {}
    match_groups.load(session, groups, completeness)
    alert_changes.load_previous_firings(group.fingerprint for group in groups.values())
    outcome = _MatchOutcome()
    for group in _causes_first(groups):
        try:
            _evaluate_group(group, completeness, alert_changes, outcome)
        except Exception as error:  # a failing rule must not stop the others
            log.exception("a rule failed", rule_id=str(group.rule.id))
            outcome.errors[group.rule.id] = f"judging its matches failed: {type(error).__name__}"
            alert_changes.discard(group.fingerprint)
            outcome.keep_pending(group)
    alert_changes.save_alerts()
    _save_matches(session, groups, outcome)
    return alert_changes, outcome.errors


def _causes_first(groups: MatchGroups) -> list[MatchGroup]:
    """Order groups so that suppressing alerts come before those they suppress."""
    rules = {group.rule.id: group.rule for group in groups.values()}
    positions = {rule.id: position for position, rule in enumerate(dependencies.causes_first(rules.values()))}
    return sorted(groups.values(), key=lambda group: positions[group.rule.id])


def _evaluate_group(
    group: MatchGroup, completeness: Completeness, alert_changes: AlertChanges, outcome: _MatchOutcome
) -> None:
    """Find the episodes of a group, and open, extend or resolve their alerts."""
    rule = group.rule
    updates, waiting = split_by_completeness(match_groups.group_episodes(group), completeness.horizon(rule))
    left_out_accounts = completeness.left_out_accounts_of(rule)
    for update in updates:
        alert = _alert_of(group, update.episode, alert_changes)
        alert_changes.apply(alert, _extension(update.episode, left_out_accounts))
        summary = summarize(rule, alert.group, alert.occurrences, alert.error_code)
        alert_changes.apply(alert, Describe(summary))
        outcome.alert_ids |= {(rule.id, point.log_id): alert.id for point in update.episode.points}
        # A resolved alert sends its resolve only, no update just before.
        if alert.firing_notified_at is None or not update.resolved:
            alert_changes.decide_notification(alert, NotifySettings.from_rule(rule))
        if update.resolved:
            alert_changes.apply(alert, Resolve(update.episode.ends_at, ResolveReason.QUIET))
            alert_changes.decide_notification(alert, NotifySettings.from_rule(rule))
    outcome.pending |= {(rule.id, point.log_id) for episode in waiting for point in episode.points}


def _alert_of(group: MatchGroup, episode: Episode, alert_changes: AlertChanges) -> Alert:
    """Return the open alert that an episode continues, or open one."""
    if episode.continues and group.open is not None:
        return group.open
    return alert_changes.open_for_rule(
        fingerprint=group.fingerprint,
        rule_id=group.rule.id,
        rule_name=group.rule.name,
        severity=group.rule.severity,
        group=group.values,
        group_key=group.key,
        started_at=episode.started_at,
        window_from=episode.window_from,
    )


def _extension(episode: Episode, left_out_accounts: Sequence[str]) -> Extend:
    newest_first = sorted(episode.points, reverse=True)
    codes = (point.error_code for point in newest_first if point.error_code is not None)
    return Extend(
        window_from=episode.window_from,
        started_at=episode.started_at,
        last_match_at=episode.last_at,
        newest_sids=[point.sid for point in newest_first[:MAX_SAMPLES]],
        newest_error_code=next(codes, None),
        count=len(episode.points) + episode.shared,
        left_out_accounts=left_out_accounts,
        account_ids={point.account_id for point in episode.points if point.account_id is not None},
    )


def _match_row(
    rule: Rule,
    log_version: LogVersion,
    key: str,
    alert_id: UUID | None = None,
    pending: bool = False,
    new_value: str | None = None,
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
        pending,
        new_value,
    )


def _save_matches(session: Session, groups: MatchGroups, outcome: _MatchOutcome) -> None:
    """Insert new matches and update stored ones."""
    copy_rows(session, "matches", MATCH_COLUMNS, _new_rows(groups, outcome))
    changed_rows: dict[tuple[UUID, int], tuple[object, ...]] = {}
    for (rule_id, _), group in groups.items():
        for point in (*group.pending.values(), *group.stored):
            alert_id = outcome.alert_ids.get((rule_id, point.log_id))
            pending = (rule_id, point.log_id) in outcome.pending
            changed = pending != (point.log_id in group.pending) or point.log_id in group.superseded
            if alert_id is not None or changed:
                identity = rule_id, point.log_id, group.rule.epoch
                changed_rows[rule_id, point.log_id] = (*identity, alert_id, pending, point.new_value)
    keys = {"rule_id": "uuid", "log_id": "bigint", "epoch": "int"}
    values = {"alert_id": "uuid", "held": "bool", "new_value": "text"}
    update_rows(session, "matches", keys, values, list(changed_rows.values()))


def _new_rows(groups: MatchGroups, outcome: _MatchOutcome) -> Iterable[tuple[object, ...]]:
    for (rule_id, key), group in groups.items():
        for log_id, log_version in group.new_logs.items():
            alert_id = outcome.alert_ids.get((rule_id, log_id))
            pending = (rule_id, log_id) in outcome.pending
            yield _match_row(group.rule, log_version, key, alert_id, pending, group.new_values.get(log_id))
