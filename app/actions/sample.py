"""Sample alerts, for testing an action and for validating a template."""

from datetime import UTC, datetime

from app.actions.base import Notification, make_alert
from app.enums import NotificationType
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

SAMPLE_ID = "00000000-0000-0000-0000-000000000000"


def sample_alert(at: str) -> JsonObject:
    """Build an alert in the shape of the API."""
    return make_alert(
        id=SAMPLE_ID,
        rule_name="Test of an action",
        severity="info",
        group={"to_country": "GB"},
        summary="This is a test: 3 messages undelivered to GB",
        started_at=at,
        last_match_at=at,
        occurrences=3,
        sample_sids=["SM" + "0" * 32],
        error={
            "code": 30003,
            "message": "Unreachable destination handset",
            "cause": "The handset is switched off or out of reach.",
            "docs": "https://www.twilio.com/docs/api/errors/30003",
        },
    ) | {"finding": None}


def sample_notification(base_url: str, now: datetime) -> Notification:
    """Build the notification of a test."""
    return Notification(NotificationType.TEST, now, sample_alert(rfc3339(now)), None, [], base_url)


def sample_notifications() -> list[Notification]:
    """Build one notification of each sort that a template must handle: with and without a rule, logs and a code."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    at, base_url = rfc3339(now), "http://localhost:8000"
    awkward = 'said "no" \\ and\nleft <b>&amp;</b> {{ it }}'
    full = sample_alert(at) | {"rule_id": SAMPLE_ID, "rule_name": awkward, "summary": awkward, "value": 3.5}
    over = full | {"status": "resolved", "resolved_at": at, "resolve_reason": "quiet", "error": None, "group": {}}
    logs = [_sample_log(at, awkward), _sample_log(at, None)]
    return [
        Notification(NotificationType.FIRING, now, full, _sample_rule(at, awkward), logs, base_url),
        Notification(NotificationType.RESOLVED, now, over, None, [], base_url),
        sample_notification(base_url, now),
    ]


def _sample_log(at: str, text: str | None) -> JsonObject:
    return {
        "sid": "SM" + "0" * 32,
        "account_sid": "AC" + "0" * 32,
        "log_type": "message",
        "status": "undelivered",
        "level": None,
        "direction": "outbound-api",
        "from": "+14155550100",
        "to": "+447700900123",
        "to_country": "GB",
        "error_code": 30003,
        "error_message": text,
        "text": text,
        "price": "-0.0075",
        "price_unit": "USD",
        "duration_seconds": None,
        "segments": 1,
        "messaging_service_sid": None,
        "resource_sid": None,
        "occurred_at": at,
        "changed_at": at,
        "final": True,
        "first_seen_at": at,
        "source": "poll",
    }


def _sample_rule(at: str, name: str) -> JsonObject:
    return {
        "id": SAMPLE_ID,
        "name": name,
        "description": "",
        "enabled": True,
        "severity": "warning",
        "log_type": "message",
        "filters": {"to_country": ["GB"]},
        "pattern_type": "error_code",
        "pattern_value": "30003",
        "condition": {"type": "each"},
        "group_by": ["to_country"],
        "renotify_minutes": 60,
        "resolve_after_minutes": 60,
        "cooldown_minutes": 10,
        "depends_on": [],
        "schedule": None,
        "created_at": at,
        "updated_at": at,
    }
