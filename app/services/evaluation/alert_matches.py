"""Assigns matches to the alerts of conditions over time, and counts them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.bulk import Unnest
from app.models import Alert
from app.services.alerts.changes import AlertChanges
from app.services.alerts.state_machine import Count
from app.services.rules.rule import Rule


class AlertUpdate(NamedTuple):
    """An alert of a rule that opened, continues or resolved."""

    rule: Rule
    alert: Alert
    log_ids: Sequence[int]
    """The ids of its logs, if known."""
    is_over_limit: bool
    """Its summary describes this minute; a resolved alert keeps that of its last minute beyond the limit."""


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
_COUNTED = "asked.alert_id, matches.changed_at, matches.sid, matches.error_code, matches.account_id"
_SHARED_MATCHES = f"""
    SELECT {_COUNTED}
    FROM matches JOIN {_ALERTS} ON {_IN_WINDOW}
    WHERE asked.opened AND matches.alert_id IS NOT NULL
"""
_ASSIGN_MATCHES = f"""
    UPDATE matches SET alert_id = asked.alert_id FROM {_ALERTS} WHERE {_IN_WINDOW} AND matches.alert_id IS NULL
    RETURNING {_COUNTED}
"""
CountedMatch = tuple[UUID, datetime, str, int | None, int]
"""An alert, and a match that counts towards it: its time, sid, code and account."""


def assign_matches(session: Session, alert_changes: AlertChanges, updates: Sequence[AlertUpdate], at: datetime) -> None:
    """Assign matches to their alerts, and count each one."""
    if not updates:
        return
    by_id = {update.alert.id: update.alert for update in updates}
    counting = [_alert_row(update, at) for update in updates if not update.rule.condition.names_logs]
    spans = _ALERTS.values(counting) | {"at": at}
    # The window that fired may contain matches of earlier alerts, which keep them.
    rows = [*session.execute(text(_SHARED_MATCHES), spans), *session.execute(text(_ASSIGN_MATCHES), spans)]
    counted: list[CountedMatch] = [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
    counted += _count_stuck(session, [update for update in updates if update.rule.condition.names_logs], at)
    absence = {update.alert.id for update in updates if update.rule.condition.holds_below}
    for alert_id, changed_at, sid, code, account_id in sorted(counted, key=lambda row: (row[1], row[2])):
        account = None if alert_id in absence else account_id
        alert_changes.apply(by_id[alert_id], Count(changed_at, sid, code, account))


def _alert_row(update: AlertUpdate, at: datetime) -> tuple[object, ...]:
    rule, alert = update.rule, update.alert
    by_change = rule.condition.counts_first_matches
    return alert.id, rule.id, rule.epoch, alert.group_key, alert.window_from, by_change, alert.started_at == at


_STUCK_LOGS = Unnest("asked", alert_id="uuid", rule_id="uuid", epoch="int", log_id="bigint", opened="bool")
_IS_STUCK = "matches.rule_id = asked.rule_id AND matches.log_id = asked.log_id AND matches.epoch = asked.epoch"
_SHARED_STUCK_MATCHES = f"""
    SELECT {_COUNTED}
    FROM matches JOIN {_STUCK_LOGS} ON {_IS_STUCK} WHERE asked.opened AND matches.alert_id IS NOT NULL
"""
_ASSIGN_STUCK_MATCHES = f"""
    UPDATE matches SET alert_id = asked.alert_id FROM {_STUCK_LOGS} WHERE {_IS_STUCK} AND matches.alert_id IS NULL
    RETURNING {_COUNTED}
"""


def _count_stuck(session: Session, updates: Sequence[AlertUpdate], at: datetime) -> list[CountedMatch]:
    """Do the same for stuck logs, whose ids are known."""
    named = [
        (alert.id, rule.id, rule.epoch, log_id, alert.started_at == at)
        for rule, alert, log_ids, _ in updates
        for log_id in log_ids
    ]
    if not named:
        return []
    asked = _STUCK_LOGS.values(named)
    rows = [*session.execute(text(_SHARED_STUCK_MATCHES), asked), *session.execute(text(_ASSIGN_STUCK_MATCHES), asked)]
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
