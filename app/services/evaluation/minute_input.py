"""Reads the numbers and alerts of one minute, in a few statements for all rules and groups."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.enums import AlertStatus, ResolveReason
from app.models import Alert
from app.services.alerts.alert_rows import load_open_alerts
from app.services.evaluation import group_slots, stuck_logs, window_queries
from app.services.evaluation.due_minutes import DueMinute
from app.services.evaluation.minute_counts import has_counts
from app.services.evaluation.rule_set import RuleSet, account_starts
from app.services.evaluation.window_queries import GroupId, WindowRange
from app.services.rules.conditions import sum as sum_condition
from app.services.rules.conditions.numbers import Amounts, WindowCounts
from app.services.rules.groups import UNGROUPED_KEY
from app.services.rules.rule import Rule

Spans = dict[GroupId, list[tuple[datetime, datetime]]]


@dataclass
class MinuteInput:
    """The numbers and alerts at one minute."""

    at: datetime
    open_alerts: dict[GroupId, Alert] = field(default_factory=dict)
    suppressed: set[GroupId] = field(default_factory=set)
    """Groups whose last alert was resolved while its condition held."""
    cleared: set[GroupId] = field(default_factory=set)
    """Those of them whose condition is false now."""
    window_counts: dict[GroupId, dict[int, WindowCounts]] = field(default_factory=dict)
    amounts: dict[GroupId, Amounts] = field(default_factory=dict)
    expected_groups: dict[UUID, list[str]] = field(default_factory=dict)
    stuck: dict[GroupId, list[int]] = field(default_factory=dict)
    """Stuck logs, by rule and group."""
    alerted_spans: Spans = field(default_factory=dict)
    """For `sum`: spans of earlier alerts; after a manual resolve a span lasts until the condition was false."""
    groups: dict[UUID, set[str]] = field(default_factory=lambda: defaultdict(set))


def read_input(session: Session, rule_set: RuleSet, due: DueMinute) -> MinuteInput:
    """Read the numbers of all rules together."""
    minute = MinuteInput(due.at)
    minute.window_counts = window_queries.count_windows(
        session, [window_range(rule, due.at) for rule in due.rules if has_windows(rule)]
    )
    if sums := [rule for rule in due.rules if rule.condition.summed_field]:
        windows = [WindowRange(rule, due.at, rule.window) for rule in sums]
        minute.amounts |= window_queries.read_amounts(session, windows, sum_condition.LOOKBACK)
        minute.alerted_spans = _alerted_spans(session, sums, minute)
    if expecting := [rule for rule in due.rules if rule.condition.holds_below and rule.group_by]:
        minute.expected_groups = group_slots.expected_groups(session, expecting, due.at)
    if looking := [rule for rule in due.rules if rule.condition.names_logs]:
        minute.stuck = stuck_logs.find(session, rule_set.stuck_index, looking, account_starts(session), due.at)
    for rule_id, key in (*minute.window_counts, *minute.amounts, *minute.stuck):
        minute.groups[rule_id].add(key)
    for rule_id, keys in minute.expected_groups.items():
        minute.groups[rule_id].update(keys)
    for rule in due.rules:
        if rule.condition.holds_below and not rule.group_by:
            minute.groups[rule.id].add(UNGROUPED_KEY)
    _read_alerts(session, due.rules, minute)
    return minute


def has_windows(rule: Rule) -> bool:
    """Return whether the condition is judged by the counts of its windows."""
    return has_counts(rule) and not rule.condition.summed_field


def window_range(rule: Rule, at: datetime) -> WindowRange:
    """Return the windows that a rule needs at a minute."""
    return WindowRange(rule, at - rule.settle_delay, rule.window, rule.condition.earlier_windows + 1)


def _read_alerts(session: Session, rules: Sequence[Rule], minute: MinuteInput) -> None:
    """Read the open alerts of these rules, and those that were resolved while their condition held."""
    ids = [rule.id for rule in rules]
    rows = session.execute(
        select(Alert.rule_id, Alert.group_key, Alert.fingerprint, Alert.status)
        .where(
            Alert.rule_id == text("ANY(:ids)"), (Alert.status != AlertStatus.RESOLVED) | Alert.suppressed_until_clear
        )
        .params(ids=ids)
    ).all()
    group_ids = {}
    for rule_id, key, alert_fingerprint, status in rows:
        if rule_id is None:
            continue
        minute.groups[rule_id].add(key)
        if status == AlertStatus.RESOLVED:
            minute.suppressed.add((rule_id, key))
        else:
            group_ids[alert_fingerprint] = (rule_id, key)
    for alert_fingerprint, alert in load_open_alerts(session, group_ids).items():
        minute.open_alerts[group_ids[alert_fingerprint]] = alert


def _alerted_spans(session: Session, rules: Sequence[Rule], minute: MinuteInput) -> Spans:
    """Read the spans of recent alerts of `sum` rules."""
    found: Spans = defaultdict(list)
    conditions = {rule.id: rule.condition for rule in rules}
    oldest_end = minute.at - sum_condition.LOOKBACK - max(rule.window for rule in rules)
    rows = session.execute(
        select(Alert.rule_id, Alert.group_key, Alert.window_from, Alert.resolved_at, Alert.resolve_reason)
        .where(Alert.rule_id == text("ANY(:ids)"), Alert.status == AlertStatus.RESOLVED)
        .where((Alert.resolved_at > oldest_end) | Alert.suppressed_until_clear)
        .params(ids=list(conditions))
    )
    for rule_id, key, since, until, reason in rows:
        if rule_id is not None and until is not None:
            amounts = minute.amounts.get((rule_id, key), {}) if reason == ResolveReason.MANUAL else {}
            breached_until = conditions[rule_id].breached_until(amounts, until, minute.at)
            found[rule_id, key].append((since, breached_until))
    return found
