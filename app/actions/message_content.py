"""The content of a notification in words, shared by all channels. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.actions import report_advice, report_text
from app.actions.base import Notification, Spread
from app.actions.facts import list_facts, single_line
from app.enums import NotificationType, PatternType, Severity
from app.utils.console_links import console_url
from app.utils.countries import country
from app.utils.quantities import number

STATES = {
    NotificationType.FIRING: "Firing",
    NotificationType.UPDATE: "Still firing",
    NotificationType.RESOLVED: "Resolved",
    NotificationType.DIGEST: "Digest",
    NotificationType.REPORT: "Report",
    NotificationType.TEST: "Test",
}
BUTTONS = {
    NotificationType.FIRING: "Open and acknowledge",
    NotificationType.UPDATE: "Open and acknowledge",
    NotificationType.RESOLVED: "Open the alert",
    NotificationType.DIGEST: "Open the alerts",
    NotificationType.TEST: "Open GiftPulse",
    NotificationType.REPORT: "Open the report",
}
"""The labels of links from a message to this server. Opening a link changes nothing."""
BUILT_IN_ADVICE: Mapping[str, str] = {
    "GiftPulse cannot read Twilio": (
        "Check the account's credentials, and that this server can reach Twilio. Reading continues where it stopped."
    ),
    "Records of Twilio are set aside": (
        "Open the account's page and read the reasons: Twilio may have changed its record format."
    ),
    "Evaluation is behind": "Check the workers' logs for errors. If there are none, start one more worker.",
    "Rule failing": "Read the rule's last error and fix the rule. The other rules keep running.",
    "Deliveries are overdue": "Check that a worker is running and can reach the database and the broker.",
    "Action disabled": "Fix the error that the receiver returned, enable the action, and retry its failed deliveries.",
}
"""The advice for built-in alerts, by name."""
ENDED_BY_EDITS = {
    "rule_changed": "The rule was restarted. It fires again if the problem continues and fits the new rule.",
    "rule_disabled": "The problem may continue. Nothing watches for it until the rule is enabled again.",
    "rule_deleted": "The problem may continue. Nothing watches for it, since the rule was deleted.",
}
"""What to know about an alert that ended because its rule was edited."""
ADVICE_AFTER_RESOLVE = {
    "insufficient_data": "There were too few logs to judge. Check that traffic arrives as it should.",
    "new_normal": "This now counts as normal. If it should not, investigate and edit the rule.",
    "manual": "Nothing: somebody resolved it. The alert keeps its logs for later.",
    **ENDED_BY_EDITS,
}
"""The advice after resolves that do not mean that the problem is over."""
COLORS = {Severity.INFO: "#0b6bcb", Severity.WARNING: "#b35900", Severity.CRITICAL: "#c41c1c"}
RESOLVED_COLOR = "#1a7f4b"
MANY = 5
"""With this many recipients, advice about a single number does not help."""


@dataclass(frozen=True)
class MessageContent:
    """One notification in words."""

    state: str
    """One of `STATES`."""
    title: str
    """The name of the rule or the built-in problem."""
    summary: str
    severity: Severity
    colour: str
    """As `#rrggbb`. The name stays: mail templates of operators may use it."""
    facts: Sequence[tuple[str, str]]
    """Names and values, the most important first."""
    code: int | None
    code_means: str
    cause: str
    docs: str
    next_step: str
    samples: Sequence[tuple[str, str]]
    """SIDs, and their addresses in Twilio's Console."""
    link: str
    """The address of the alert on this server."""
    description: str = ""
    """The description of the rule, for example with a link to a runbook."""
    timezone: str = "UTC"
    digest_items: Sequence[tuple[str, str]] = ()
    """For a digest: its items, and their addresses on this server."""
    button: str = "Open the alert"
    """The label of the link."""

    @property
    def headline(self) -> str:
        """State and title in one line."""
        return f"{self.state}: {self.title}"

    def truncated(self, max_length: int) -> "MessageContent":
        """Return a copy with no text longer than this."""
        return replace(
            self,
            title=truncate(self.title, max_length),
            summary=truncate(self.summary, max_length),
            facts=[(name, truncate(value, max_length)) for name, value in self.facts],
            code_means=truncate(self.code_means, max_length),
            cause=truncate(self.cause, max_length),
            next_step=truncate(self.next_step, max_length),
            description=cut_words(self.description, max_length),
            digest_items=[(truncate(headline, max_length), link) for headline, link in self.digest_items],
        )


def truncate(text: str, limit: int) -> str:
    """Shorten a text, visibly."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut_words(text: str, limit: int) -> str:
    """Shorten a text between words, so that no link is cut."""
    return text if len(text) <= limit else text[:limit].rpartition(" ")[0] + "…"


def compose(notification: Notification) -> MessageContent:
    """Put a notification into words."""
    alert = notification.alert
    severity = Severity(alert["severity"])
    error: Mapping[str, Any] = alert.get("error") or {}
    is_resolved_color = notification.type in (NotificationType.RESOLVED, NotificationType.TEST)
    return MessageContent(
        state=STATES[notification.type],
        title=single_line(alert["rule_name"]),
        summary=single_line(alert["summary"]),
        severity=severity,
        colour=RESOLVED_COLOR if is_resolved_color else COLORS[severity],
        facts=report_text.list_facts(notification) if notification.report else list_facts(notification),
        code=error.get("code"),
        code_means=single_line(error.get("message")),
        cause=single_line(error.get("cause")).removesuffix(notification.advice).rstrip(),
        docs=single_line(error.get("docs")),
        next_step=_next_step(notification, error),
        samples=[] if notification.type == NotificationType.TEST else _samples(alert),
        link=link_to(notification),
        description=single_line((notification.rule or {}).get("description")),
        timezone=notification.timezone,
        digest_items=[(item["headline"], item["link"]) for item in (notification.digest or {}).get("items", [])],
        button=BUTTONS[notification.type],
    )


def _samples(alert: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(sid, console_url(sid)) for sid in alert["sample_sids"]]


def link_to(notification: Notification) -> str:
    """Return the address of the notification's subject on this server."""
    alert_id = notification.alert.get("id")
    if notification.report is not None:
        return report_text.link_to(notification.report, notification.base_url)
    if notification.type in (NotificationType.DIGEST, NotificationType.TEST) or not alert_id:
        return f"{notification.base_url}/alerts"
    return f"{notification.base_url}/alerts/{alert_id}"


def _next_step(notification: Notification, error: Mapping[str, Any]) -> str:
    """Return what to do now."""
    if notification.report is not None:
        return report_advice.next_step(notification.report)
    if notification.type == NotificationType.TEST:
        return "Nothing: this was a test, and the action works."
    if notification.type == NotificationType.RESOLVED:
        over = "Nothing: it is over. The alert keeps its logs for later."
        return ADVICE_AFTER_RESOLVE.get(str(notification.alert["resolve_reason"]), over)
    if notification.type == NotificationType.DIGEST:
        return notification.advice or "Open the alerts one by one, and raise the thresholds of noisy rules."
    if notification.alert["rule_id"] is None and notification.alert["rule_name"] in BUILT_IN_ADVICE:
        return BUILT_IN_ADVICE[notification.alert["rule_name"]]
    is_about_codes = notification.rule is not None and notification.rule["pattern_type"] == PatternType.ERROR_CODE
    if notification.condition_advice and not is_about_codes:
        return notification.condition_advice
    if (
        (spread := notification.spread)
        and spread.recipients >= MANY
        and (notification.advice_fits_one or not notification.advice)
    ):
        return _for_many(spread)
    if notification.advice:
        return notification.advice
    if error:
        return "Check the samples in Twilio's Console and Twilio's page about the code. Then acknowledge the alert."
    return "Check the samples in Twilio's Console. Then acknowledge the alert to stop its reminders."


def _for_many(spread: Spread) -> str:
    """Return what to do if many numbers are affected: no single one is the cause."""
    many = f"{number(spread.recipients)}{' or more' if spread.capped else ''} numbers are affected"
    if spread.senders == 1:
        where = f", all in one country: {country(spread.countries[0])}" if len(spread.countries) == 1 else ""
        return (
            f"{many}{where}. They share one sender. Check that sender: its registration, what it may send and where, "
            "and whether carriers filter it."
        )
    if len(spread.countries) == 1:
        return (
            f"{many}, all in one country: {country(spread.countries[0])}. The senders differ. Look at Twilio's status "
            "page for carriers there, and check that you may send there. Hold back what can wait."
        )
    return (
        f"{many}, in {len(spread.countries) or 'unknown'} countries. Look for what they share: your application, "
        "your account, or Twilio. See Twilio's status page."
    )
