"""Rows of the table `alerts`: loading open alerts, writing changed and new ones."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, insert, inspect, select, text, update
from sqlalchemy.orm import Session

from app.bulk import update_rows
from app.enums import AlertStatus
from app.models import Alert

MUTABLE_COLUMNS = {
    "status": "text",
    "summary": "text",
    "started_at": "timestamptz",
    "last_match_at": "timestamptz",
    "window_from": "timestamptz",
    "baseline": "float8",
    "short_since": "timestamptz",
    "still_holds": "bool",
    "resolved_at": "timestamptz",
    "resolve_reason": "text",
    "acknowledged_at": "timestamptz",
    "acknowledged_by": "text",
    "acknowledged_until": "timestamptz",
    "note": "text",
    "silenced": "bool",
    "suppressed_by": "uuid",
    "occurrences": "int",
    "value": "float8",
    "price_unit": "text",
    "sample_sids": "text[]",
    "account_ids": "int[]",
    "left_out_accounts": "text[]",
    "error_code": "int",
    "firing_notified_at": "timestamptz",
    "escalates_from": "timestamptz",
    "notified_at": "timestamptz",
    "notified_occurrences": "int",
    "notify_at": "timestamptz",
}
FIXED_COLUMNS = (
    "id",
    "fingerprint",
    "rule_id",
    "rule_name",
    "severity",
    "group",
    "group_key",
    "recorded_at",
    "late",
)
ATTRIBUTES = {column.name: each.key for each in inspect(Alert).column_attrs for column in each.columns}
"""Some attributes of an alert are named differently from their columns."""


def save(session: Session, new: Collection[Alert], changed: Collection[Alert]) -> None:
    """Write alerts. Resolved ones come first: a group has at most one open alert."""
    changed_rows = [(alert.id, *(getattr(alert, ATTRIBUTES[name]) for name in MUTABLE_COLUMNS)) for alert in changed]
    update_rows(session, "alerts", {"id": "uuid"}, MUTABLE_COLUMNS, changed_rows)
    if new:
        names = [ATTRIBUTES[name] for name in (*FIXED_COLUMNS, *MUTABLE_COLUMNS)]
        session.execute(insert(Alert), [{name: getattr(alert, name) for name in names} for alert in new])


def load_open_alerts(session: Session, fingerprints: Iterable[str]) -> dict[str, Alert]:
    """Load and lock the open alerts with these fingerprints. The session does not track them."""
    query = select(Alert).where(Alert.fingerprint == text("ANY(:keys)"), Alert.status != AlertStatus.RESOLVED)
    query = query.order_by(Alert.id).with_for_update().execution_options(populate_existing=True)
    alerts = session.scalars(query.params(keys=list(fingerprints))).all()
    for alert in alerts:
        session.expunge(alert)
    return {alert.fingerprint: alert for alert in alerts}


def lock_open_of_rules(session: Session) -> None:
    """Lock the open alerts of all rules."""
    query = select(Alert.id).where(Alert.rule_id.is_not(None), Alert.status != AlertStatus.RESOLVED)
    session.execute(query.order_by(Alert.id).with_for_update())


def end_suppression(session: Session, alerts: ColumnElement[bool]) -> None:
    """Let the groups of these alerts fire again: their condition was false after a manual resolve, or it was edited."""
    suppressed = Alert.suppressed_until_clear
    session.execute(update(Alert).where(alerts, suppressed).values(suppressed_until_clear=False))


def recheck_notifications(session: Session, rule_id: UUID, now: datetime) -> None:
    """Let the next tick decide again about the open alerts of a rule: its cooldown or reminders may have changed."""
    is_open = Alert.status != AlertStatus.RESOLVED
    session.execute(update(Alert).where(Alert.rule_id == rule_id, is_open).values(notify_at=now))
