"""Judges conditions over time: each whole minute once, in order, and only up to where the streams are complete.

A few statements read the numbers of all rules and groups of a minute, pure functions judge them, and the alerts are
written together with their deliveries.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.config import Settings
from app.database import Unnest
from app.enums import AlertStatus, ResolveReason
from app.models import Alert
from app.services.alerts.changes import AlertChanges, NotifySettings, end_suppression, load_open_alerts
from app.services.alerts.dependencies import causes_first
from app.services.alerts.fingerprint import fingerprint
from app.services.alerts.state_machine import Count, Describe, Measure, Resolve
from app.services.alerts.summary import summarize_over_time
from app.services.evaluation import group_slots, stuck_logs, window_queries
from app.services.evaluation.completeness import Completeness
from app.services.evaluation.minute_counts import MINUTE, has_counts, minute_end
from app.services.evaluation.rule_set import RuleSet, account_starts
from app.services.evaluation.window_queries import WindowSeries
from app.services.rules.conditions import sum as sum_condition
from app.services.rules.conditions.base import NO_COUNTS, Amounts, MinuteCondition, Numbers, Verdict, WindowCounts
from app.services.rules.groups import UNGROUPED_KEY, group_values
from app.services.rules.rule import Rule

MAX_CATCH_UP = timedelta(hours=24)
"""Missed minutes are judged later, in order, unless they are older than this."""

log = structlog.get_logger()
GroupId = tuple[UUID, str]
Spans = dict[GroupId, list[tuple[datetime, datetime]]]


class AlertUpdate(NamedTuple):
    """An alert of a rule that opened, continues or resolved."""

    rule: Rule
    alert: Alert
    log_ids: Sequence[int]
    """The ids of its logs, if known."""
    is_over_limit: bool
    """Its summary shows this minute: that of a resolved alert shows its last minute beyond the limit."""


class DueMinute(NamedTuple):
    """A minute, and the rules to judge at it."""

    at: datetime
    rules: Sequence[Rule]
    completeness: Completeness


def first_judged_minute(rule: Rule) -> datetime:
    """Return the first minute at which a rule is judged: its first window begins after its start."""
    return minute_end(rule.started_at) + rule.window + rule.settle_delay


def first_judged_at(rule: Rule, known_from: datetime | None) -> datetime | None:
    """Return the first minute at which a rule can be judged; None if its condition is on matches.

    Args:    known_from: from when on the rule's streams are completely read.
    """
    if not isinstance(rule.condition, MinuteCondition):
        return None
    first = first_judged_minute(rule)
    if rule.condition.windows_needed and known_from is not None:
        needed = rule.condition.windows_needed + 1
        first = max(first, minute_end(known_from + needed * rule.window))
    return first


def next_minute(
    session: Session, rules: Mapping[UUID, Rule], completeness: Completeness, now: datetime
) -> DueMinute | None:
    """Find the earliest minute that is not judged for all rules, and those rules; None if there is none."""
    asked = [rule for rule in rules.values() if isinstance(rule.condition, MinuteCondition)]
    if not asked:
        return None
    rows = session.execute(
        text("SELECT id, judged_until FROM rules WHERE id = ANY(:ids)"), {"ids": [rule.id for rule in asked]}
    )
    judged: dict[UUID, datetime | None] = {row[0]: row[1] for row in rows}
    due: dict[datetime, list[Rule]] = defaultdict(list)
    for rule in asked:
        horizon = completeness.horizon(rule)
        if horizon is None:
            continue
        last = min(horizon, now).replace(second=0, microsecond=0)
        before = judged.get(rule.id)
        first = max(first_judged_minute(rule), last - MAX_CATCH_UP + MINUTE)
        at = first if before is None else max(before + MINUTE, first)
        if at <= last:
            due[at].append(rule)
    if not due:
        return None
    at = min(due)
    return DueMinute(at, due[at], completeness)


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


def judge_minute(
    session: Session, rule_set: RuleSet, due: DueMinute, settings: Settings, now: datetime
) -> tuple[AlertChanges, dict[UUID, str]]:
    """Judge these rules at one minute.

    Returns: the alert changes, whose notices the caller enqueues, and the rules that failed, with the reason.
    """
    began = time.monotonic()
    ids = sorted(rule.id for rule in due.rules)
    session.execute(text("SELECT id FROM rules WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"), {"ids": ids})
    minute = _read_input(session, rule_set, due)
    alert_changes = AlertChanges(session, settings, now)
    alert_changes.load_previous_firings(
        fingerprint(rule.id, key) for rule in due.rules for key in minute.groups[rule.id]
    )
    errors: dict[UUID, str] = {}
    updates: list[AlertUpdate] = []
    for rule in causes_first(due.rules):
        try:
            updates += judge_rule(rule, minute, due, alert_changes)
        except Exception as error:  # a failing rule must not stop the others
            log.exception("a rule failed", rule_id=str(rule.id))
            errors[rule.id] = f"judging a minute failed: {type(error).__name__}"
    _notify(session, alert_changes, minute, updates)
    if minute.cleared:
        marks = [fingerprint(rule_id, key) for rule_id, key in sorted(minute.cleared)]
        end_suppression(session, Alert.fingerprint.in_(marks))
    cost_ms = 1000 * (time.monotonic() - began) / len(due.rules)
    session.execute(
        text("UPDATE rules SET judged_until = :at, last_evaluated_at = :now, cost_ms = :cost WHERE id = ANY(:ids)"),
        {"at": due.at, "now": now, "cost": cost_ms, "ids": ids},
    )
    return alert_changes, errors


def _read_input(session: Session, rule_set: RuleSet, due: DueMinute) -> MinuteInput:
    """Read the numbers of all rules together."""
    minute = MinuteInput(due.at)
    minute.window_counts = window_queries.count_windows(
        session, [window_series(rule, due.at) for rule in due.rules if has_windows(rule)]
    )
    if sums := [rule for rule in due.rules if rule.condition.summed_field]:
        windows = [WindowSeries(rule, due.at, rule.window) for rule in sums]
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


def window_series(rule: Rule, at: datetime) -> WindowSeries:
    """Return the windows that a rule needs at a minute."""
    return WindowSeries(rule, at - rule.settle_delay, rule.window, rule.condition.earlier_windows + 1)


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


def judge_rule(rule: Rule, minute: MinuteInput, due: DueMinute, alert_changes: AlertChanges) -> list[AlertUpdate]:
    """Judge each group of a rule; return the alerts that opened, continue or resolved, with the ids of their logs."""
    updates: list[AlertUpdate] = []
    for key in sorted(minute.groups[rule.id]):
        group_id = rule.id, key
        alert = minute.open_alerts.get(group_id)
        verdict = judge_group(rule, group_id, minute, due)
        if alert is None:
            if verdict.holds is False and group_id in minute.suppressed:
                minute.suppressed.remove(group_id)
                minute.cleared.add(group_id)
            if not verdict.holds or group_id in minute.suppressed or not rule.condition.fits(rule.schedule, minute.at):
                continue
            alert = _open_alert(rule, key, verdict, minute.at, alert_changes)
        elif verdict.holds is False or verdict.is_past:
            suppress = verdict.reason == ResolveReason.NEW_NORMAL
            alert_changes.apply(alert, Resolve(minute.at, verdict.reason, suppress))
        left_out_accounts = due.completeness.unreadable_accounts_of(rule)
        alert_changes.apply(alert, Measure(verdict.value, verdict.insufficient_since, left_out_accounts, verdict.unit))
        is_over_limit = group_id not in minute.open_alerts or _is_over_limit(rule, verdict)
        updates.append(AlertUpdate(rule, alert, minute.stuck.get(group_id, []), is_over_limit))
    return updates


def _is_over_limit(rule: Rule, verdict: Verdict) -> bool:
    """Return whether the value is beyond the limit: an open alert may continue below it."""
    limit = rule.condition.limit
    is_beyond = rule.condition.holds_below or limit is None or verdict.value is None or verdict.value >= limit
    return bool(verdict.holds) and is_beyond


def judge_group(rule: Rule, group_id: GroupId, minute: MinuteInput, due: DueMinute) -> Verdict:
    """Ask the condition."""
    assert isinstance(rule.condition, MinuteCondition), "the others go by matches"
    alert, window_counts = minute.open_alerts.get(group_id), minute.window_counts.get(group_id, {})
    numbers = Numbers(
        at=minute.at,
        first=first_judged_minute(rule),
        window=lambda index: window_counts.get(index, NO_COUNTS),
        known_from=due.completeness.known_from(rule) if rule.condition.earlier_windows else None,
        amounts=minute.amounts.get(group_id, {}),
        alerted_spans=minute.alerted_spans.get(group_id, ()),
        stuck=len(minute.stuck.get(group_id, ())),
        alert=alert,
        goes_on=alert is not None or group_id in minute.suppressed,
    )
    return rule.condition.judge(numbers)


def _open_alert(rule: Rule, key: str, verdict: Verdict, at: datetime, alert_changes: AlertChanges) -> Alert:
    return alert_changes.open(
        fingerprint=fingerprint(rule.id, key),
        rule_id=rule.id,
        rule_name=rule.name,
        severity=rule.severity,
        group=group_values(key),
        group_key=key,
        started_at=at,
        window_from=_window_from(rule, verdict, at),
        baseline=verdict.baseline,
    )


def _window_from(rule: Rule, verdict: Verdict, at: datetime) -> datetime:
    """Return the start of the window that fired: later matches count."""
    if rule.condition.names_logs:
        return rule.started_at
    return (verdict.window_ended_at or at - rule.settle_delay) - rule.window


def _notify(session: Session, alert_changes: AlertChanges, minute: MinuteInput, updates: Sequence[AlertUpdate]) -> None:
    """Count the logs of the alerts, update their summaries, and decide their notifications."""
    _count_logs(session, alert_changes, updates, minute.at)
    for rule, alert, _, is_over_limit in updates:
        if is_over_limit:
            total = minute.window_counts.get((rule.id, alert.group_key), {}).get(0, NO_COUNTS).total
            summary = summarize_over_time(rule, alert.group, alert.value, alert.occurrences, total, alert.price_unit)
            alert_changes.apply(alert, Describe(summary))
        alert_changes.decide_notification(alert, NotifySettings.from_rule(rule))
    alert_changes.save_alerts()


_ALERTS = Unnest(
    "asked",
    alert_id="uuid",
    rule_id="uuid",
    epoch="int",
    key="text",
    since="timestamptz",
    by_change="bool",
    opened="bool",
)
_IN_WINDOW = """
    matches.rule_id = asked.rule_id AND matches.group_key = asked.key AND matches.epoch = asked.epoch
    AND matches.changed_at > asked.since AND CASE WHEN asked.by_change THEN matches.changed_at <= :at
    ELSE matches.occurred_at > asked.since AND matches.occurred_at <= :at END
"""
_SHARED_MATCHES = f"""
    SELECT asked.alert_id, matches.changed_at, matches.sid, matches.error_code, matches.account_id
    FROM matches JOIN {_ALERTS} ON {_IN_WINDOW}
    WHERE asked.opened AND matches.alert_id IS NOT NULL
"""
_ASSIGN_MATCHES = f"""
    UPDATE matches SET alert_id = asked.alert_id FROM {_ALERTS} WHERE {_IN_WINDOW} AND matches.alert_id IS NULL
    RETURNING matches.alert_id, matches.changed_at, matches.sid, matches.error_code, matches.account_id
"""
CountedMatch = tuple[UUID, datetime, str, int | None, int]
"""An alert, and a match that counts towards it: its time, sid, code and account."""


def _count_logs(session: Session, alert_changes: AlertChanges, updates: Sequence[AlertUpdate], at: datetime) -> None:
    """Assign matches to their alerts in one statement, and find the newest ones."""
    if not updates:
        return
    by_id = {alert.id: alert for _, alert, *_ in updates}
    counting = [_alert_row(rule, alert, at) for rule, alert, *_ in updates if not rule.condition.names_logs]
    spans = _ALERTS.values(counting) | {"at": at}
    # The window that fired may contain matches of earlier alerts, which keep them.
    rows = [*session.execute(text(_SHARED_MATCHES), spans), *session.execute(text(_ASSIGN_MATCHES), spans)]
    counted: list[CountedMatch] = [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
    counted += _count_stuck(session, [each for each in updates if each[0].condition.names_logs], at)
    absence = {alert.id for rule, alert, *_ in updates if rule.condition.holds_below}
    for alert_id, changed_at, sid, code, account_id in sorted(counted, key=lambda row: (row[1], row[2])):
        account = None if alert_id in absence else account_id
        alert_changes.apply(by_id[alert_id], Count(changed_at, sid, code, account))


def _alert_row(rule: Rule, alert: Alert, at: datetime) -> tuple[object, ...]:
    by_change = rule.condition.counts_first_matches
    return alert.id, rule.id, rule.epoch, alert.group_key, alert.window_from, by_change, alert.started_at == at


_STUCK_LOGS = Unnest("asked", alert_id="uuid", rule_id="uuid", epoch="int", log_id="bigint", opened="bool")
_IS_STUCK = "matches.rule_id = asked.rule_id AND matches.log_id = asked.log_id AND matches.epoch = asked.epoch"
_SHARED_STUCK_MATCHES = f"""
    SELECT asked.alert_id, matches.changed_at, matches.sid, matches.error_code, matches.account_id
    FROM matches JOIN {_STUCK_LOGS} ON {_IS_STUCK} WHERE asked.opened AND matches.alert_id IS NOT NULL
"""
_ASSIGN_STUCK_MATCHES = f"""
    UPDATE matches SET alert_id = asked.alert_id FROM {_STUCK_LOGS} WHERE {_IS_STUCK} AND matches.alert_id IS NULL
    RETURNING matches.alert_id, matches.changed_at, matches.sid, matches.error_code, matches.account_id
"""


def _count_stuck(session: Session, updates: Sequence[AlertUpdate], at: datetime) -> list[CountedMatch]:
    """As above for stuck logs, whose ids are known."""
    named = [
        (alert.id, rule.id, rule.epoch, log_id, alert.started_at == at)
        for rule, alert, logs, _ in updates
        for log_id in logs
    ]
    if not named:
        return []
    asked = _STUCK_LOGS.values(named)
    rows = [*session.execute(text(_SHARED_STUCK_MATCHES), asked), *session.execute(text(_ASSIGN_STUCK_MATCHES), asked)]
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
