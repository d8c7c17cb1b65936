"""A made-up alert: to try an action with, and to try a template with when it is saved."""

from datetime import datetime

from app.actions.base import JsonObject, Notification
from app.enums import NotificationType
from app.utils.clock import rfc3339

SAMPLE_ID = "00000000-0000-0000-0000-000000000000"


def sample_alert(at: str) -> JsonObject:
    """Make an alert in the shape of the API."""
    return {
        "id": SAMPLE_ID,
        "rule_id": None,
        "rule_name": "Test of an action",
        "severity": "info",
        "status": "firing",
        "group": {"to_country": "GB"},
        "summary": "This is a test: 3 messages undelivered to GB",
        "started_at": at,
        "last_match_at": at,
        "resolved_at": None,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "note": None,
        "silenced": False,
        "occurrences": 3,
        "value": None,
        "sample_sids": ["SM" + "0" * 32],
        "late": False,
        "resolve_reason": None,
        "error": {
            "code": 30003,
            "message": "Unreachable destination handset",
            "cause": "The handset is switched off or out of reach.",
            "docs": "https://www.twilio.com/docs/api/errors/30003",
        },
    }


def sample(base_url: str, now: datetime) -> Notification:
    """Make the notification of a test."""
    return Notification(NotificationType.TEST, now, sample_alert(rfc3339(now)), None, [], base_url)
