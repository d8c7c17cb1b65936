"""Serializes rows to the JSON of the API and of notifications.

Knows the tables and the API's names; knows neither HTTP nor callers.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, select

from app.actions.base import make_alert
from app.models import (
    Account,
    Alert,
    AlertNote,
    ApiKey,
    Attempt,
    AuditEntry,
    ConsoleSession,
    Delivery,
    Log,
    LogChange,
    Rule,
    Silence,
)
from app.services import log_fields
from app.services.console_sessions import MAX_LISTED
from app.services.twilio.error_codes import explain
from app.utils.clock import rfc3339, rfc3339_or_none
from app.utils.json_types import JsonObject


def select_logs() -> Select[*tuple[Any, ...]]:
    """Select logs with everything `log_json` needs, under the names of `Log`'s columns, and `account_sid`."""
    return select(
        Log.occurred_at,
        Log.id,
        Log.account_id,
        Account.sid.label("account_sid"),
        Log.sid,
        Log.log_type,
        *(getattr(Log, column) for column in log_fields.COLUMNS),
        Log.changed_at,
        Log.final,
        Log.first_seen_at,
        Log.source,
    ).join(Account, Account.id == Log.account_id)


def log_json(row: Row[*tuple[Any, ...]]) -> JsonObject:
    """Serialize a log, without Twilio's record.

    Args:    row: one row of `select_logs()`.
    """
    return {
        "sid": row.sid,
        "account_sid": row.account_sid,
        "log_type": row.log_type,
        **log_fields.shown(log_fields.columns_of(row)),
        "occurred_at": rfc3339(row.occurred_at),
        "changed_at": rfc3339(row.changed_at),
        "final": row.final,
        "first_seen_at": rfc3339(row.first_seen_at),
        "source": row.source,
    }


def alert_json(alert: Alert) -> JsonObject:
    """Serialize an alert, without its deliveries. `error` explains the code of its newest match that has one."""
    return make_alert(
        id=str(alert.id),
        rule_id=None if alert.rule_id is None else str(alert.rule_id),
        rule_name=alert.rule_name,
        severity=alert.severity,
        status=alert.status,
        group=alert.group,
        summary=alert.summary,
        started_at=rfc3339(alert.started_at),
        last_match_at=rfc3339(alert.last_match_at),
        resolved_at=rfc3339_or_none(alert.resolved_at),
        acknowledged_at=rfc3339_or_none(alert.acknowledged_at),
        acknowledged_by=alert.acknowledged_by,
        acknowledged_until=rfc3339_or_none(alert.acknowledged_until),
        note=alert.note,
        silenced=bool(alert.silenced),
        suppressed_by=None if alert.suppressed_by is None else str(alert.suppressed_by),
        occurrences=alert.occurrences,
        value=alert.value,
        price_unit=alert.price_unit,
        sample_sids=alert.sample_sids,
        late=alert.late,
        left_out_accounts=alert.left_out_accounts or [],
        resolve_reason=alert.resolve_reason,
        error=None if alert.error_code is None else explain(alert.error_code),
    )


def note_json(note: AlertNote) -> JsonObject:
    """Serialize a note on an alert."""
    return {"at": rfc3339(note.at), "by": note.by, "note": note.note}


def rule_json(rule: Rule) -> JsonObject:
    """Serialize a rule, including default values."""
    return {
        "id": str(rule.id),
        "name": rule.name,
        "description": rule.description,
        "enabled": rule.enabled,
        "severity": rule.severity,
        "log_type": rule.log_type,
        "filters": rule.filters,
        "pattern_type": rule.pattern_type,
        "pattern_value": rule.pattern_value,
        "condition": rule.condition,
        "group_by": rule.group_by,
        "renotify_minutes": rule.renotify_minutes,
        "resolve_after_minutes": rule.resolve_after_minutes,
        "cooldown_minutes": rule.cooldown_minutes,
        "schedule": rule.schedule,
        "depends_on": [str(each) for each in rule.depends_on],
        "created_at": rfc3339(rule.created_at),
        "updated_at": rfc3339(rule.updated_at),
    }


def change_json(change: LogChange) -> JsonObject:
    return {
        "changed_at": rfc3339(change.changed_at),
        "seen_at": rfc3339(change.seen_at),
        "status": change.status,
        "error_code": change.error_code,
        "source": change.source,
    }


def delivery_json(delivery: Delivery) -> JsonObject:
    """Serialize a delivery, without its attempts."""
    return {
        "id": str(delivery.id),
        "alert_id": None if delivery.alert_id is None else str(delivery.alert_id),
        "action_id": str(delivery.action_id),
        "type": delivery.type,
        "recipient": delivery.recipient,
        "status": delivery.status,
        "created_at": rfc3339(delivery.created_at),
        "next_attempt_at": rfc3339_or_none(delivery.next_attempt_at),
        "held_by": delivery.held_by,
    }


def attempt_json(attempt: Attempt) -> JsonObject:
    return {
        "at": rfc3339(attempt.at),
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "status_code": attempt.status_code,
        "response": attempt.response,
        "error": attempt.error,
    }


def key_json(key: ApiKey) -> JsonObject:
    """Serialize an API key, without the key itself: only its hash is stored."""
    return {
        "id": str(key.id),
        "name": key.name,
        "scope": key.scope,
        "prefix": key.prefix,
        "created_at": rfc3339(key.created_at),
        "last_used_at": rfc3339_or_none(key.last_used_at),
    }


def listed_key_json(key: ApiKey, sessions: Sequence[ConsoleSession]) -> JsonObject:
    """Serialize an API key and its sessions of the console, without what identifies their cookies."""
    return key_json(key) | {"sessions": list(map(session_json, sessions[:MAX_LISTED]))}


def session_json(session: ConsoleSession) -> JsonObject:
    """Serialize a session of the console, without what identifies its cookie."""
    return {"name": session.name, "seen_at": rfc3339(session.seen_at), "expires_at": rfc3339(session.expires_at)}


def silence_json(silence: Silence, alert_ids: list[str]) -> JsonObject:
    """Serialize a silence with the open alerts that it covers."""
    return {
        "id": str(silence.id),
        "rule_id": None if silence.rule_id is None else str(silence.rule_id),
        "group": silence.group,
        "starts_at": rfc3339(silence.starts_at),
        "ends_at": rfc3339_or_none(silence.ends_at),
        "repeat": silence.repeat,
        "reason": silence.reason,
        "created_by": silence.created_by,
        "alert_ids": alert_ids,
    }


def audit_json(entry: AuditEntry) -> JsonObject:
    return {
        "at": rfc3339(entry.at),
        "by": entry.by,
        "action": entry.action,
        "target": entry.target,
        "before": entry.before,
        "after": entry.after,
    }
