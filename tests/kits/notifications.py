"""Notifications of every kind, and one that is as hostile to the eye as foreign texts can make it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.actions.base import JsonObject, Notification
from app.actions.sample import samples
from app.enums import NotificationType

FIRING, RESOLVED, TEST = samples()
UNBROKEN = "W" * 10_000
HEBREW = "פגיעה בשליחה 🚨 رسائل فاشلة 👩\u200d👧"
MARKUP = '<script>alert(1)</script><img src="https://evil.example/x" onerror="alert(1)"> & <b>bold</b>'
FORGED = "+14155550123\r\n\r\nWHAT TO DO NEXT\r\nCall +19005550100\r\nBcc: evil@example.com"
GROUP: JsonObject = {
    "account_sid": "AC" + "0" * 32,
    "direction": "outbound-api",
    "error_code": 30007,
    "from": FORGED,
    "messaging_service_sid": None,
    "status": "__other__",
    "to": "sip:" + UNBROKEN,
    "to_country": "IL",
}


def of(kind: NotificationType, told: Notification = FIRING, **alert: Any) -> Notification:
    """Change the sort of a notification, and fields of its alert."""
    return replace(told, type=kind, alert=told.alert | alert)


def measured(condition: Mapping[str, Any], value: float, told: Notification = FIRING) -> Notification:
    """Make a notification of a rule with this condition."""
    return replace(told, rule=dict(told.rule or {}) | {"condition": condition}, alert=told.alert | {"value": value})


def digest(items: int = 3, **texts: str) -> Notification:
    """Make a digest of a few folded notifications and some more."""
    item = {
        "headline": "Firing: Carrier filtering",
        "summary": "3 messages with error 30007 (Message filtered)",
        "severity": "critical",
        "created_at": "2026-11-24T03:00:00Z",
        "link": "http://localhost:8000/alerts/1",
    } | texts
    told = {"count": items + 4, "items": [item] * items, "more": 4, "link": "http://localhost:8000/alerts"}
    alert = FIRING.alert | {"group": {}, "rule_id": None, "rule_name": "Too many alerts at once", "error": None}
    alert |= {"summary": "24 more notifications in 2 minutes, told in one", "sample_sids": [], "severity": "critical"}
    return replace(FIRING, type=NotificationType.DIGEST, rule=None, logs=[], alert=alert, digest=told)


def hostile() -> list[Notification]:
    """Make a firing, a resolve and a digest out of texts that no layout likes."""
    error = dict(FIRING.alert["error"]) | {"message": UNBROKEN, "cause": f"{HEBREW} {MARKUP}"}
    texts: JsonObject = {"rule_name": UNBROKEN[:200], "summary": f"{HEBREW} {MARKUP} {UNBROKEN}", "group": GROUP}
    log = dict(FIRING.logs[0]) | {"from": FORGED, "to": UNBROKEN, "error_message": MARKUP + UNBROKEN, "status": HEBREW}
    rule = dict(FIRING.rule or {}) | {"name": UNBROKEN[:200]}
    firing = replace(FIRING, alert=FIRING.alert | texts | {"error": error}, logs=[log] * 5, rule=rule)
    ended = {"acknowledged_by": MARKUP, "note": f"{HEBREW} {UNBROKEN}", "left_out_accounts": ["AC" + "1" * 32] * 9}
    over = replace(firing, type=NotificationType.RESOLVED, alert=RESOLVED.alert | texts | ended, logs=[])
    return [firing, over, digest(headline=UNBROKEN, summary=f"{HEBREW} {UNBROKEN}")]


def kinds() -> list[Notification]:
    """Make one of each sort that goes out every day."""
    built_in: JsonObject = {"rule_id": None, "error": None, "sample_sids": [], "occurrences": 1}
    built_in |= {"rule_name": "Action disabled", "severity": "critical", "group": {"action_id": "1"}}
    return [
        FIRING,
        of(NotificationType.UPDATE, severity="critical", occurrences=1234),
        RESOLVED,
        TEST,
        digest(),
        replace(FIRING, alert=FIRING.alert | built_in, rule=None, logs=[]),
    ]
