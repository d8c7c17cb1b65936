"""The facts of a notification as names and values: severity, counts, times, group and more. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.actions.base import Notification
from app.enums import OTHER_VALUE, NotificationType
from app.utils.calendar_edges import to_zone
from app.utils.countries import country
from app.utils.quantities import counted, duration, first_of, number

REASONS = {
    "cleared": "the condition is false again",
    "quiet": "no new match for a while",
    "insufficient_data": "too few logs to judge",
    "new_normal": "it lasted so long that it counts as normal",
    "manual": "resolved manually",
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
    "price_unit": "Currency",
    "action_id": "Action",
    "rule_id": "Rule",
}
"""The labels of group fields, in the order in which they are shown: JSON in the database has no order."""
SHOWN_VALUES = 3


def list_facts(notification: Notification) -> list[tuple[str, str]]:
    """List names and values, the most important first."""
    alert = notification.alert
    return [
        ("Severity", str(alert["severity"])),
        *_timing(notification),
        *_people(alert),
        *_escalation(notification),
        *((label, single_line(text)) for label, text in notification.condition_facts),
        *_group(notification),
        *_finding(notification),
        *_codes(notification),
        *_reach(notification),
        *_accounts(notification),
        *_left_out(notification),
    ]


def format_time(at: str | None, timezone: str = "UTC") -> str:
    """Format a time of the API for people: `24 Nov 2026, 23:27:46 UTC (25 Nov, 00:27:46 in Berlin)`."""
    if not at:
        return ""
    moment = datetime.fromisoformat(at)
    utc = moment.strftime("%-d %b %Y, %H:%M:%S UTC")
    local = to_zone(moment, ZoneInfo(timezone))
    if local.utcoffset() == timedelta(0):
        return utc
    day = "" if local.date() == moment.date() else local.strftime("%-d %b, ")
    return f"{utc} ({day}{local.strftime('%H:%M:%S')} in {_city(timezone)})"


def _city(timezone: str) -> str:
    return timezone.rpartition("/")[2].replace("_", " ")


def single_line(value: object) -> str:
    """Turn a text from elsewhere into one line, so that it cannot imitate our lines."""
    return "" if value is None else " ".join(str(value).split())


def _timing(notification: Notification) -> Iterator[tuple[str, str]]:
    """Describe how often and when."""
    alert = notification.alert
    digest = notification.type == NotificationType.DIGEST
    built_in = alert["rule_id"] is None and not digest and notification.type != NotificationType.TEST
    if alert["occurrences"] and not built_in:
        yield _counted(notification), number(alert["occurrences"])
    zone = notification.timezone
    yield "Since", format_time(alert["started_at"], zone)
    if alert["last_match_at"] != alert["started_at"]:
        yield "Last seen", format_time(alert["last_match_at"], zone)
    if alert.get("resolved_at"):
        reason = REASONS.get(str(alert.get("resolve_reason")), "")
        yield "Resolved", format_time(alert["resolved_at"], zone) + (f", {reason}" if reason else "")
        lasted = datetime.fromisoformat(alert["resolved_at"]) - datetime.fromisoformat(alert["started_at"])
        yield "Lasted", duration(lasted)


def _counted(notification: Notification) -> str:
    """Name what the occurrences count: alerts in a bundle, notifications in other digests."""
    if notification.digest is None:
        return "Occurrences"
    return "Alerts" if "accounts" in notification.digest else "Notifications"


def _people(alert: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Describe who acknowledged or resolved it, with their note."""
    if alert.get("acknowledged_by"):
        # Without a time nobody acknowledged it: it was resolved directly.
        did = "Acknowledged by" if alert.get("acknowledged_at") else "Resolved by"
        yield did, single_line(alert["acknowledged_by"])
    if alert.get("note"):
        yield "Note", single_line(alert["note"])


def _escalation(notification: Notification) -> Iterator[tuple[str, str]]:
    """Describe why an alert escalated, and who is notified next unless somebody acknowledges it."""
    if minutes := notification.escalated_after_minutes:
        yield "Escalated", f"Not acknowledged after {duration(timedelta(minutes=minutes))}"
    if notification.escalates_to:
        name, at = notification.escalates_to[0]
        more = len(notification.escalates_to) - 1
        others = f"; then {more} more" if more else ""
        yield "Unacknowledged", f"{single_line(name)} is notified at {format_time(at, notification.timezone)}{others}"


def _group(notification: Notification) -> Iterator[tuple[str, str]]:
    """Describe the group, field by field."""
    group = notification.alert["group"]
    for name, label in FIELDS.items():
        if name in group:
            yield label, _of_group(notification, name, group[name])


def _of_group(notification: Notification, name: str, value: object) -> str:
    if value is None or value == OTHER_VALUE:
        return "none" if value is None else "all others"
    if name == "to_country":
        return country(single_line(value))
    return _account(notification, single_line(value)) if name == "account_sid" else single_line(value)


def _reach(notification: Notification) -> Iterator[tuple[str, str]]:
    """Describe how many numbers and which countries are affected, unless the group says it."""
    spread, group = notification.spread, notification.alert["group"]
    if spread is None or not spread.recipients + spread.senders:
        return
    counts = [
        counted(count, noun)
        for count, noun, name in ((spread.recipients, "recipient", "to"), (spread.senders, "sender", "from"))
        if count and name not in group
    ]
    if counts:
        yield "Numbers", ", ".join(counts) + (f" (of the newest {number(spread.logs)} logs)" if spread.capped else "")
    if spread.countries and not {"to", "to_country"} & group.keys():
        label = "Country" if len(spread.countries) == 1 else "Countries"
        yield label, first_of([country(code) for code in spread.countries], SHOWN_VALUES)


def _codes(notification: Notification) -> Iterator[tuple[str, str]]:
    """List the error codes with their counts if there are several: the alert names only the newest."""
    codes = notification.spread.codes if notification.spread else ()
    if len(codes) > 1 and "error_code" not in notification.alert["group"]:
        yield "Error codes", first_of([f"{code} ({number(count)})" for code, count in codes], SHOWN_VALUES)


def _finding(notification: Notification) -> Iterator[tuple[str, str]]:
    """Describe what the logs have in common that others do not."""
    if finding := notification.alert.get("finding"):
        yield "In common", single_line(finding)


def _accounts(notification: Notification) -> Iterator[tuple[str, str]]:
    """Name the affected accounts, unless the group does."""
    sids = notification.spread.accounts if notification.spread else ()
    if sids and "account_sid" not in notification.alert["group"]:
        yield (
            "Account" if len(sids) == 1 else "Accounts",
            first_of([_account(notification, sid) for sid in sids], SHOWN_VALUES),
        )


def _account(notification: Notification, sid: str) -> str:
    name = single_line(notification.account_names.get(sid))
    return f"{name} ({sid})" if name else sid


def _left_out(notification: Notification) -> Iterator[tuple[str, str]]:
    """Name the accounts that are omitted because they cannot be read."""
    if sids := notification.alert.get("left_out_accounts"):
        yield "Cannot be read", ", ".join(_account(notification, sid) for sid in sids)
