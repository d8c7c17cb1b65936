"""Notifications of every kind, and one that is as hostile to the eye as foreign texts can make it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.actions.base import Notification, Spread
from app.actions.sample import sample_notifications
from app.enums import NotificationType
from app.services.rules.conditions.registry import read_condition
from app.utils.json_types import JsonObject

FIRING, RESOLVED, TEST = sample_notifications()
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


def of(kind: NotificationType, notification: Notification = FIRING, **alert: Any) -> Notification:
    """Change the sort of a notification, and fields of its alert."""
    return replace(notification, type=kind, alert=notification.alert | alert)


def measured(condition: Mapping[str, Any], value: float, notification: Notification = FIRING) -> Notification:
    """Make a notification of a rule with this condition, as the alert and the logs of another show it."""
    alert, known = notification.alert | {"value": value}, read_condition(condition)
    return replace(
        notification,
        rule=dict(notification.rule or {}) | {"condition": condition},
        alert=alert,
        condition_advice=known.advice,
        condition_facts=tuple(known.facts(alert, notification.logs)),
    )


def digest(items: int = 3, **texts: str) -> Notification:
    """Make a digest of a few folded notifications and some more."""
    item = {
        "headline": "Firing: Carrier filtering",
        "summary": "3 messages with error 30007 (Message filtered)",
        "severity": "critical",
        "created_at": "2026-11-24T03:00:00Z",
        "link": "http://localhost:8000/alerts/1",
    } | texts
    notification = {"count": items + 4, "items": [item] * items, "more": 4, "link": "http://localhost:8000/alerts"}
    alert = FIRING.alert | {"group": {}, "rule_id": None, "rule_name": "Too many alerts at once", "error": None}
    alert |= {"summary": "24 more notifications in 2 minutes, sent as one", "sample_sids": [], "severity": "critical"}
    return replace(FIRING, type=NotificationType.DIGEST, rule=None, logs=[], alert=alert, digest=notification)


RUNBOOK = "What to do at night: https://wiki.example.com/runbooks/sms?team=ops. Call Ann before you pause the campaign."


def outage(notification: Notification = FIRING, **spread: Any) -> Notification:
    """Make a firing as a carrier's outage makes it: many numbers of one country, for people in Berlin."""
    sid = "AC" + "0" * 32
    hit = Spread(500, True, 420, 6, ["GB"], [sid])
    alert = notification.alert | {
        "rule_name": "Messages fail by country",
        "severity": "critical",
        "summary": "12.5% of 4,120 messages failed or undelivered to GB in an hour (limit 5%)",
        "occurrences": 515,
        "value": 12.5,
        "started_at": "2026-11-24T22:41:00Z",
        "last_match_at": "2026-11-24T23:10:12Z",
    }
    rule = dict(notification.rule or {}) | {
        "name": "Messages fail by country",
        "description": RUNBOOK,
        "pattern_type": "status",
        "condition": {"type": "ratio", "percent": 5, "window_minutes": 60},
    }
    log = dict(FIRING.logs[0]) | {"error_message": "Unreachable destination handset", "text": None}
    return replace(
        notification,
        alert=alert,
        rule=rule,
        logs=[log] * 5,
        advice="Check the number with Lookup and drop it from lists if it stays unreachable.",
        advice_fits_one=True,
        spread=replace(hit, **spread),
        account_names={sid: "Acme Production"},
        timezone="Europe/Berlin",
    )


def hostile() -> list[Notification]:
    """Make a firing, a resolve and a digest out of texts that no layout likes."""
    error = dict(FIRING.alert["error"]) | {"message": UNBROKEN, "cause": f"{HEBREW} {MARKUP}"}
    texts: JsonObject = {"rule_name": UNBROKEN[:200], "summary": f"{HEBREW} {MARKUP} {UNBROKEN}", "group": GROUP}
    log = dict(FIRING.logs[0]) | {"from": FORGED, "to": UNBROKEN, "error_message": MARKUP + UNBROKEN, "status": HEBREW}
    rule = dict(FIRING.rule or {}) | {"name": UNBROKEN[:200], "description": f"{MARKUP} https://e.example/{UNBROKEN}"}
    hit = Spread(500, True, 400, 3, ["GB", "QQ", "FR", "DE"], ["AC" + "0" * 32])
    names = {"AC" + "0" * 32: f"{HEBREW} {MARKUP} {UNBROKEN}"}
    firing = replace(
        FIRING,
        alert=FIRING.alert | texts | {"error": error},
        logs=[log] * 5,
        rule=rule,
        spread=hit,
        account_names=names,
    )
    ended = {"acknowledged_by": MARKUP, "note": f"{HEBREW} {UNBROKEN}", "left_out_accounts": ["AC" + "1" * 32] * 9}
    over = replace(firing, type=NotificationType.RESOLVED, alert=RESOLVED.alert | texts | ended, logs=[])
    return [firing, over, digest(headline=UNBROKEN, summary=f"{HEBREW} {UNBROKEN}")]


def kinds() -> list[Notification]:
    """Make one of each sort that goes out every day."""
    built_in: JsonObject = {"rule_id": None, "error": None, "sample_sids": [], "occurrences": 1}
    built_in |= {"rule_name": "Action disabled", "severity": "critical", "group": {"action_id": "1"}}
    return [
        FIRING,
        outage(),
        of(NotificationType.UPDATE, severity="critical", occurrences=1234),
        RESOLVED,
        TEST,
        digest(),
        replace(FIRING, alert=FIRING.alert | built_in, rule=None, logs=[]),
    ]
