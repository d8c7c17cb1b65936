"""The facts of a notification, line by line: how severe, how many, since when, how much, and of what. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from app.actions.base import JsonObject, Notification
from app.enums import NotificationType
from app.utils.quantities import duration, money, number

REASONS = {
    "cleared": "the condition is false again",
    "quiet": "no new match for a while",
    "insufficient_data": "too few logs to judge",
    "new_normal": "it lasted so long that it is taken as normal",
    "manual": "resolved by hand",
    "rule_changed": "the rule was changed",
    "rule_disabled": "the rule was disabled",
    "rule_deleted": "the rule was deleted",
}
FIELDS = {
    "status": "Status",
    "direction": "Direction",
    "error_code": "Error code",
    "from": "From",
    "to": "To",
    "to_country": "Country",
    "messaging_service_sid": "Messaging service",
    "account_sid": "Account",
    "action_id": "Action",
    "rule_id": "Rule",
}
"""The fields of a group in words, in the order in which they are told; the database keeps none."""
OTHERS = "__other__"
"""The value that stands for every group after the first 500."""


def facts(notification: Notification) -> list[tuple[str, str]]:
    """List names and values, in the order of their weight."""
    alert = notification.alert
    return [
        ("Severity", str(alert["severity"])),
        *_course(notification),
        *_people(alert),
        *_value(notification),
        *_new_values(notification),
        *((label, _of_group(alert["group"][name])) for name, label in FIELDS.items() if name in alert["group"]),
        *_left_out(alert),
    ]


def when(at: str | None) -> str:
    """Write a time of the API for people: `24 Nov 2026, 03:27:46 UTC`."""
    return datetime.fromisoformat(at).strftime("%-d %b %Y, %H:%M:%S UTC") if at else ""


def line(value: object) -> str:
    """Make one line of a foreign text, so that it cannot pass for lines of ours."""
    return "" if value is None else " ".join(str(value).split())


def _course(notification: Notification) -> Iterator[tuple[str, str]]:
    """Say how often and when."""
    alert = notification.alert
    digest = notification.type == NotificationType.DIGEST
    built_in = alert["rule_id"] is None and not digest and notification.type != NotificationType.TEST
    if alert["occurrences"] and not built_in:
        yield "Notifications" if digest else "Occurrences", number(alert["occurrences"])
    yield "Since", when(alert["started_at"])
    if alert["last_match_at"] != alert["started_at"]:
        yield "Last seen", when(alert["last_match_at"])
    if alert.get("resolved_at"):
        reason = REASONS.get(str(alert.get("resolve_reason")), "")
        yield "Resolved", when(alert["resolved_at"]) + (f", {reason}" if reason else "")
        lasted = datetime.fromisoformat(alert["resolved_at"]) - datetime.fromisoformat(alert["started_at"])
        yield "Lasted", duration(lasted)


def _people(alert: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say who took it or ended it, and what they noted."""
    if alert.get("acknowledged_by"):
        # Without a time nobody took it: it was ended at once.
        did = "Acknowledged by" if alert.get("acknowledged_at") else "Resolved by"
        yield did, line(alert["acknowledged_by"])
    if alert.get("note"):
        yield "Note", line(alert["note"])


def _value(notification: Notification) -> Iterator[tuple[str, str]]:
    """Say what the condition measured last, where it is more than the count of matches."""
    value = notification.alert.get("value")
    if value is None or value == notification.alert["occurrences"]:
        return
    condition = (notification.rule or {}).get("condition", {})
    match condition.get("type"):
        case "ratio":
            yield "Share", f"{number(value)}%"
        case "spike":
            yield "Level", f"{number(value)} times the usual"
        case "sum":
            yield "Sum", _sum(value, condition["field"], notification.logs)
        case "stuck":
            yield "Stuck now", number(value)
        case _:
            yield "In the window", number(value)


def _new_values(notification: Notification) -> Iterator[tuple[str, str]]:
    """Name the values by which a rule that watches for new ones fired, as its newest logs have them, oldest first."""
    condition = (notification.rule or {}).get("condition", {})
    if condition.get("type") == "new_value":
        values = [line(log[condition["field"]]) for log in reversed(notification.logs)]
        yield "Values", ", ".join(dict.fromkeys(filter(None, values))) or "none"


def _sum(value: float, field: str, logs: Any) -> str:
    """Write a sum with its unit; that of money is the logs', where they agree."""
    if field != "price":
        return f"{number(value)} {'seconds' if field == 'duration_seconds' else field}"
    units = {log["price_unit"] for log in logs if log.get("price_unit")}
    return f"{money(value)} {units.pop()}" if len(units) == 1 else money(value)


def _of_group(value: object) -> str:
    return "none" if value is None else "all others" if value == OTHERS else line(value)


def _left_out(alert: JsonObject) -> Iterator[tuple[str, str]]:
    """Name the accounts that are left out because they cannot be read."""
    if alert.get("left_out_accounts"):
        yield "Cannot be read", ", ".join(alert["left_out_accounts"])
