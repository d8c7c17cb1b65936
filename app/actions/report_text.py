"""The content of a report as text, for mails, chats and the command line. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from app.actions.base import Notification, make_alert
from app.actions.facts import single_line
from app.enums import NotificationType, Severity
from app.utils.calendar_edges import to_zone
from app.utils.json_types import JsonObject
from app.utils.quantities import counted, duration, first_of, money, number

Report = Mapping[str, Any]
TITLES = {"day": "Daily report", "week": "Weekly report", "": "Report"}
TYPES = {"call": ("call", "calls"), "message": ("message", "messages"), "error": ("error entry", "error entries")}
"""Singular and plural of the log types."""
STATES = {"gap": "missing for good", "not_yet": "not read yet"}
SHOWN = 3
HOUR = timedelta(hours=1)
HOURS_A_BAR = 2


def to_notification(report: JsonObject, every: str, base_url: str, timezone: str, now: datetime) -> Notification:
    """Turn a report into a notification in the shape of an alert, which every receiver can show.

    Args:    every: `day`, `week`, or empty for any other span.
    """
    alert = make_alert(
        id=None,
        rule_name=TITLES[every],
        severity=Severity.INFO,
        summary=summary(report),
        started_at=report["since"],
        last_match_at=report["until"],
        occurrences=report["traffic"]["total"],
    )
    return Notification(
        type=NotificationType.REPORT,
        timestamp=now,
        alert=alert,
        rule=None,
        logs=[],
        base_url=base_url,
        timezone=timezone,
        report=report,
    )


def summary(report: Report) -> str:
    """Summarize the report in one sentence: volume, share delivered, and alerts."""
    parts = [f"{counted(report['traffic']['total'], 'log')}{_in_brackets(change(report['traffic'], 'total'))}"]
    if report["delivery"]["share"] is not None:
        parts.append(f"{percent(report['delivery']['share'])} of messages delivered")
    parts.append(counted(report["alerts"]["total"], "alert"))
    return ", ".join(parts) + ("" if report["whole"] else "; not all of the time was read")


def list_facts(notification: Notification) -> list[tuple[str, str]]:
    """List names and values for receivers that show no tables."""
    report = notification.report or {}
    without_match = report["rules"]["without_match"]
    return [
        ("Span", span(report, notification.timezone)),
        *_traffic(report),
        *_delivery(report),
        *[("Cost", cost_line(item)) for item in report["cost"]["items"]],
        *_alerts(report),
        *[("Code", code_line(item)) for item in report["error_codes"][:SHOWN]],
        *_listed("Unwatched codes", [str(each["error_code"]) for each in report["unwatched"] or ()]),
        *_listed("Noisiest rules", [noisy_line(each) for each in report["rules"]["noisiest"]]),
        *_listed("Rules without a match", [single_line(each["rule_name"]) for each in without_match]),
        *_listed("Not read", [not_read_line(each, notification.timezone) for each in report["not_read"]]),
    ]


def _traffic(report: Report) -> Iterator[tuple[str, str]]:
    for each in report["traffic"]["by_type"]:
        if each["count"] or each["before"]:
            label = TYPES[each["log_type"]][1].capitalize()
            yield label, f"{number(each['count'])}{_in_brackets(change(each, 'count'))}"


def _delivery(report: Report) -> Iterator[tuple[str, str]]:
    share, was = report["delivery"]["share"], report["delivery"]["share_before"]
    if share is not None:
        yield "Delivered", percent(share) + ("" if was is None else f" ({percent(was)} before)")


def _alerts(report: Report) -> Iterator[tuple[str, str]]:
    alerts = report["alerts"]
    still_open = f", {number(alerts['open'])} still open" if alerts["open"] else ""
    yield "Alerts", f"{number(alerts['total'])}{before(alerts)}{still_open}"
    for name, label in (("seconds_to_acknowledge", "Acknowledged after"), ("seconds_to_resolve", "Resolved after")):
        if alerts[name] is not None:
            yield label, seconds(alerts[name])


def _listed(label: str, values: Sequence[str]) -> Iterator[tuple[str, str]]:
    """List some values and the number of further ones."""
    if values:
        yield label, first_of(values, SHOWN)


def cost_line(item: Report) -> str:
    """Write an amount with its unit, and the previous one."""
    unit = single_line(item["unit"])
    was = "" if item["before"] is None else f" ({amount(item['before'])} {unit} before)"
    return f"{amount(item['amount'])} {unit}{was}"


def code_line(item: Report) -> str:
    """Write an error code with its count, meaning and advice."""
    often = f"{number(item['count'])} times" if item["count"] != 1 else "once"
    return f"{item['error_code']} {item['message']}: {often}{before(item)}. {item['next_step']}"


def noisy_line(item: Report) -> str:
    """Write a rule with its notifications."""
    notifications = counted(item["notifications"], "notification")
    return f"{single_line(item['rule_name'])}: {notifications} of {counted(item['alerts'], 'alert')}"


def not_read_line(item: Report, timezone: str) -> str:
    """Write a time span that was not read."""
    times = f"{moment(item['since'], timezone)} to {moment(item['until'], timezone)}"
    return f"{TYPES[item['log_type']][1]} of {item['account_sid']}, {times}: {STATES[item['state']]}"


def link_to(report: Report, base_url: str) -> str:
    """Return the address of the report on this server."""
    return f"{base_url}/report?{urlencode({'since': report['since'], 'until': report['until']})}"


def span(report: Report, timezone: str) -> str:
    """Write the span of a report in local time."""
    return f"{moment(report['since'], timezone)} to {moment(report['until'], timezone)} ({timezone})"


def moment(at: str, timezone: str) -> str:
    """Write a time of the API in local time: `Mon 23 Nov 2026, 08:00`."""
    return to_zone(datetime.fromisoformat(at), ZoneInfo(timezone)).strftime("%a %-d %b %Y, %H:%M")


def bar_label(at: str, timezone: str, *, hourly: bool) -> str:
    """Write when a bar begins: `08:00`, or `Mon 23` for a day."""
    return to_zone(datetime.fromisoformat(at), ZoneInfo(timezone)).strftime("%H:%M" if hourly else "%a %-d")


def is_hourly(report: Report) -> bool:
    """Return whether the bars of the traffic are hours."""
    first, *rest = report["traffic"]["series"]
    return bool(rest) and datetime.fromisoformat(rest[0]["at"]) - datetime.fromisoformat(first["at"]) <= HOUR


def bars(report: Report) -> Sequence[Report]:
    """Return the bars of the traffic in a mail: one combines several hours, so that a day fits a screen."""
    steps: Sequence[Report] = report["traffic"]["series"]
    if not is_hourly(report):
        return steps
    pieces = (steps[start : start + HOURS_A_BAR] for start in range(0, len(steps), HOURS_A_BAR))
    return [{"at": piece[0]["at"], "count": sum(step["count"] for step in piece)} for piece in pieces]


def most(report: Report) -> int:
    """Return the highest of these bars."""
    return max(int(step["count"]) for step in bars(report))


def alerts_line(report: Report) -> str:
    """Describe in a sentence or two how many alerts there were, and how fast people reacted."""
    alerts = report["alerts"]
    parts = [f"{counted(alerts['total'], 'alert')}{before(alerts)}, {number(alerts['open'])} still open."]
    if alerts["seconds_to_acknowledge"] is not None:
        parts.append(f"Half were acknowledged within {seconds(alerts['seconds_to_acknowledge'])}.")
    if alerts["seconds_to_resolve"] is not None:
        parts.append(f"Half were over within {seconds(alerts['seconds_to_resolve'])}.")
    return " ".join(parts)


def reaction(item: Report) -> str:
    """Describe how fast an alert was acknowledged and resolved."""
    acknowledged, resolved = item["seconds_to_acknowledge"], item["seconds_to_resolve"]
    who = single_line(item["acknowledged_by"])
    parts = []
    if acknowledged is not None:
        parts.append(f"acknowledged{f' by {who}' if who else ''} after {seconds(acknowledged)}")
    parts.append("still open" if resolved is None else f"over after {seconds(resolved)}")
    return ", ".join(parts)


def percent(share: float) -> str:
    """Write a share as a percentage; only exactly 1 is 100%."""
    return f"{number(min(share * 100, 99.99) if share < 1 else 100)}%"


def amount(value: str) -> str:
    """Write an amount of money."""
    return money(float(Decimal(value)))


def seconds(value: float) -> str:
    """Write a duration."""
    return duration(timedelta(seconds=value))


def change(item: Report, name: str) -> str:
    """Describe how a count differs from the previous one; empty if that is 0 or unknown."""
    count, was = item[name], item["before"]
    if not was:
        return ""
    if count == was:
        return "as before"
    points = round((count - was) / was * 100)
    if points > 900:
        return f"{number(round(count / was))} times as many"
    return f"{abs(points) or 'less than 1'}% {'more' if count > was else 'fewer'}"


def before(item: Report) -> str:
    """Write the count of the previous span in brackets, after a space; empty if that span was not completely read."""
    return "" if item["before"] is None else f" ({number(item['before'])} before)"


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
