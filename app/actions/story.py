"""What a notification tells, in words that every channel shares. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.actions.base import Notification
from app.actions.facts import facts, line
from app.enums import NotificationType, PatternType, Severity

CONSOLE = "https://console.twilio.com/us1/monitor/logs"
PLACES = {"CA": "calls", "SM": "sms", "MM": "sms", "NO": "debugger/errors"}
"""Where Twilio's Console shows a log, by the first letters of its sid."""
STATES = {
    NotificationType.FIRING: "Firing",
    NotificationType.UPDATE: "Still firing",
    NotificationType.RESOLVED: "Resolved",
    NotificationType.DIGEST: "Digest",
    NotificationType.TEST: "Test",
}
BUILT_IN_ADVICE = {
    "GiftPulse cannot read Twilio": (
        "Check the account's credentials, and whether this server reaches Twilio. Reading goes on where it stopped."
    ),
    "Evaluation is behind": "See whether the workers log errors; if they only have too much to do, start one more.",
    "Rule failing": "Read the rule's last error, and edit the rule. The other rules go on.",
    "Deliveries are overdue": "See whether a worker runs, and whether it reaches the database and the broker.",
    "Action disabled": "Mend what its receiver complains of, enable the action, and retry its failed deliveries.",
}
"""What to do about an alert that no rule opened, by its name."""
BY_CONDITION = {
    "no_data": "See whether what should send still does, and whether Twilio's Console shows its traffic.",
    "spike": "See in the newest logs what comes on top of the usual, and whether it is yours.",
    "sum": "See in the newest logs what adds up, and whether it is yours.",
    "stuck": "Twilio has reported no end of these: look at them in its Console, and at its status page.",
    "new_value": "See whether the new value is expected; if it is, acknowledge the alert.",
}
"""What to do about an alert that is not about errors, though some of its logs may have one."""
AFTER = {
    "insufficient_data": "Too few logs came to judge it by: see whether traffic comes as it should.",
    "new_normal": "If this should not count as normal, look into it, and edit the rule.",
    "manual": "Nothing: somebody ended it. The alert keeps its logs, should you want to know why.",
    "rule_changed": "Nothing: the rule starts anew, and fires again if the problem goes on.",
    "rule_disabled": "The problem may go on: nobody looks until the rule is enabled again.",
    "rule_deleted": "The problem may go on: this rule looks no more.",
}
"""What to do after an alert that did not end because all is well."""
COLOURS = {Severity.INFO: "#0b6bcb", Severity.WARNING: "#b35900", Severity.CRITICAL: "#c41c1c"}
CALM = "#1a7f4b"


@dataclass(frozen=True)
class Story:
    """One notification, told."""

    state: str
    """`Firing`, `Still firing`, `Resolved`, `Digest`, `Test`."""
    title: str
    """The name of the rule, or what is wrong."""
    summary: str
    severity: Severity
    colour: str
    """As `#rrggbb`."""
    facts: Sequence[tuple[str, str]]
    """Names and values, in the order of their weight."""
    code: int | None
    code_means: str
    cause: str
    docs: str
    next_step: str
    samples: Sequence[tuple[str, str]]
    """Sids, and where Twilio's Console shows them."""
    link: str
    """The alert on this server."""
    told: Sequence[tuple[str, str]] = ()
    """Of a digest: what it tells of, and where this server shows each."""

    @property
    def headline(self) -> str:
        """State and title in one line."""
        return f"{self.state}: {self.title}"

    def shortened(self, longest: int) -> "Story":
        """Tell the same with no text longer than this."""
        return replace(
            self,
            title=cut(self.title, longest),
            summary=cut(self.summary, longest),
            facts=[(name, cut(value, longest)) for name, value in self.facts],
            code_means=cut(self.code_means, longest),
            cause=cut(self.cause, longest),
            next_step=cut(self.next_step, longest),
            told=[(cut(headline, longest), link) for headline, link in self.told],
        )


def cut(text: str, limit: int) -> str:
    """Shorten a text, and show that it was."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def tell(notification: Notification) -> Story:
    """Put a notification into words."""
    alert = notification.alert
    severity = Severity(alert["severity"])
    error: Mapping[str, Any] = alert.get("error") or {}
    calm = notification.type in (NotificationType.RESOLVED, NotificationType.TEST)
    return Story(
        state=STATES[notification.type],
        title=line(alert["rule_name"]),
        summary=line(alert["summary"]),
        severity=severity,
        colour=CALM if calm else COLOURS[severity],
        facts=facts(notification),
        code=error.get("code"),
        code_means=line(error.get("message")),
        cause=line(error.get("cause")).removesuffix(notification.advice).rstrip(),
        docs=line(error.get("docs")),
        next_step=_next_step(notification, error),
        samples=[] if notification.type == NotificationType.TEST else _samples(alert),
        link=link_to(notification),
        told=[(item["headline"], item["link"]) for item in (notification.digest or {}).get("items", [])],
    )


def _samples(alert: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(sid, console_url(sid)) for sid in alert["sample_sids"]]


def link_to(notification: Notification) -> str:
    """Say where this server shows what the notification tells of."""
    alert_id = notification.alert.get("id")
    if notification.type in (NotificationType.DIGEST, NotificationType.TEST) or not alert_id:
        return f"{notification.base_url}/alerts"
    return f"{notification.base_url}/alerts/{alert_id}"


def console_url(sid: str) -> str:
    """Say where Twilio's Console shows a log."""
    place = PLACES.get(sid[:2])
    return f"{CONSOLE}/{place}/{sid}" if place else CONSOLE


def _next_step(notification: Notification, error: Mapping[str, Any]) -> str:
    """Say what to do now."""
    if notification.type == NotificationType.TEST:
        return "Nothing: somebody tried this action, and it works."
    if notification.type == NotificationType.RESOLVED:
        over = "Nothing: it is over. The alert keeps its logs, should you want to know why."
        return AFTER.get(str(notification.alert["resolve_reason"]), over)
    if notification.type == NotificationType.DIGEST:
        return "Look at the alerts one by one on the server, or make the rules that fire so often less eager."
    if notification.alert["rule_id"] is None and notification.alert["rule_name"] in BUILT_IN_ADVICE:
        return BUILT_IN_ADVICE[notification.alert["rule_name"]]
    rule = notification.rule or {}
    if rule.get("pattern_type") != PatternType.ERROR_CODE and (advice := _by_condition(rule)):
        return advice
    if notification.advice:
        return notification.advice
    if error:
        return (
            "Look at the samples in Twilio's Console and at what Twilio says of the code; then acknowledge the alert."
        )
    return "Look at the samples in Twilio's Console; then acknowledge the alert, so that it is told no more."


def _by_condition(rule: Mapping[str, Any]) -> str:
    return BY_CONDITION.get(rule.get("condition", {}).get("type", ""), "")
