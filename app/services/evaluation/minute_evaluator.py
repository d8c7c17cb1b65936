"""Judges conditions over time: each whole minute once, in order, and only up to where the streams are complete.

A few statements read the numbers of all rules and groups of a minute, pure functions judge them, and the alerts are
written together with their deliveries.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.config import Settings
from app.enums import ResolveReason
from app.models import Alert
from app.services.alerts.alert_rows import end_suppression
from app.services.alerts.changes import AlertChanges, NotifySettings
from app.services.alerts.dependencies import causes_first
from app.services.alerts.fingerprint import fingerprint
from app.services.alerts.state_machine import Describe, Measure, Resolve
from app.services.alerts.summary import summarize_over_time
from app.services.evaluation.alert_matches import AlertUpdate, assign_matches
from app.services.evaluation.due_minutes import DueMinute, drop_judged, first_judged_minute
from app.services.evaluation.minute_input import MinuteInput, read_input
from app.services.evaluation.rule_set import RuleSet, lock_rules
from app.services.evaluation.window_queries import GroupId
from app.services.rules.conditions.base import MinuteCondition
from app.services.rules.conditions.numbers import NO_COUNTS, Numbers, Verdict
from app.services.rules.groups import group_values
from app.services.rules.rule import Rule

log = structlog.get_logger()


def judge_minute(
    session: Session, rule_set: RuleSet, due: DueMinute, settings: Settings, now: datetime
) -> tuple[AlertChanges, dict[UUID, str]]:
    """Judge these rules at one minute.

    Returns: the alert changes, whose notices the caller enqueues, and the rules that failed, with the reason.
    """
    began = time.monotonic()
    lock_rules(session, [rule.id for rule in due.rules])
    due = drop_judged(session, due)
    ids = [rule.id for rule in due.rules]
    alert_changes = AlertChanges(session, settings, now)
    if not ids:
        return alert_changes, {}
    minute = read_input(session, rule_set, due)
    alert_changes.load_previous_firings(
        fingerprint(rule.id, key) for rule in due.rules for key in minute.groups[rule.id]
    )
    updates, errors = _judge_rules(minute, due, alert_changes)
    _finish_updates(session, alert_changes, minute, updates)
    if minute.cleared:
        marks = [fingerprint(rule_id, key) for rule_id, key in sorted(minute.cleared)]
        end_suppression(session, Alert.fingerprint.in_(marks))
    cost_ms = 1000 * (time.monotonic() - began) / len(due.rules)
    session.execute(
        text("UPDATE rules SET judged_until = :at, last_evaluated_at = :now, cost_ms = :cost WHERE id = ANY(:ids)"),
        {"at": due.at, "now": now, "cost": cost_ms, "ids": ids},
    )
    return alert_changes, errors


def _judge_rules(
    minute: MinuteInput, due: DueMinute, alert_changes: AlertChanges
) -> tuple[list[AlertUpdate], dict[UUID, str]]:
    errors: dict[UUID, str] = {}
    updates: list[AlertUpdate] = []
    for rule in causes_first(due.rules):
        try:
            updates.extend(judge_rule(rule, minute, due, alert_changes))  # it keeps those before a failure
        except Exception as error:  # a failing rule must not stop the others
            log.exception("a rule failed", rule_id=str(rule.id))
            errors[rule.id] = f"judging a minute failed: {type(error).__name__}"
    return updates, errors


def judge_rule(rule: Rule, minute: MinuteInput, due: DueMinute, alert_changes: AlertChanges) -> Iterator[AlertUpdate]:
    """Judge each group of a rule; yield the alerts that opened, continue or resolved, with the ids of their logs."""
    for key in sorted(minute.groups[rule.id]):
        group_id = rule.id, key
        alert = minute.open_alerts.get(group_id)
        verdict = judge_group(rule, group_id, minute, due)
        if alert is None:
            if verdict.holds is False and group_id in minute.suppressed:
                minute.suppressed.remove(group_id)
                minute.cleared.add(group_id)
            if (
                not verdict.holds
                or group_id in minute.suppressed
                or not rule.condition.may_fire(rule.schedule, minute.at)
            ):
                continue
            alert = _open_alert(rule, key, verdict, minute.at, alert_changes)
        elif verdict.holds is False or verdict.is_past:
            suppress = verdict.reason == ResolveReason.NEW_NORMAL
            alert_changes.apply(alert, Resolve(minute.at, verdict.reason, suppress))
        left_out_accounts = due.completeness.left_out_accounts_of(rule)
        alert_changes.apply(alert, Measure(verdict.value, verdict.insufficient_since, left_out_accounts, verdict.unit))
        is_over_limit = group_id not in minute.open_alerts or _is_over_limit(rule, verdict)
        yield AlertUpdate(rule, alert, minute.stuck.get(group_id, []), is_over_limit)


def _is_over_limit(rule: Rule, verdict: Verdict) -> bool:
    """Return whether the value is beyond the limit: an open alert may continue below it."""
    limit = rule.condition.limit
    is_beyond = rule.condition.holds_below or limit is None or verdict.value is None or verdict.value >= limit
    return bool(verdict.holds) and is_beyond


def judge_group(rule: Rule, group_id: GroupId, minute: MinuteInput, due: DueMinute) -> Verdict:
    """Judge one group by its numbers."""
    assert isinstance(rule.condition, MinuteCondition), "the others are judged by matches"
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
        was_holding=alert is not None or group_id in minute.suppressed,
    )
    return rule.condition.judge(numbers)


def _open_alert(rule: Rule, key: str, verdict: Verdict, at: datetime, alert_changes: AlertChanges) -> Alert:
    return alert_changes.open_for_rule(
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


def _finish_updates(
    session: Session, alert_changes: AlertChanges, minute: MinuteInput, updates: Sequence[AlertUpdate]
) -> None:
    """Count the logs of the alerts, update their summaries, and decide their notifications."""
    assign_matches(session, alert_changes, updates, minute.at)
    for rule, alert, _, is_over_limit in updates:
        if is_over_limit:
            total = minute.window_counts.get((rule.id, alert.group_key), {}).get(0, NO_COUNTS).total
            summary = summarize_over_time(rule, alert.group, alert.value, alert.occurrences, total, alert.price_unit)
            alert_changes.apply(alert, Describe(summary))
        alert_changes.decide_notification(alert, NotifySettings.from_rule(rule))
    alert_changes.save_alerts()
