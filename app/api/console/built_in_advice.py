"""What to do about an alert of GiftPulse's own, and where. Pure."""

from typing import NamedTuple

from app.actions.message_content import BUILT_IN_ADVICE
from app.models import Alert
from app.services import self_monitoring
from app.services.twilio import read_advice

PAGES = {
    self_monitoring.RULE_FAILING: ("/rules", "Rules"),
    self_monitoring.EVALUATION_BEHIND: ("/health", "Health"),
    self_monitoring.DELIVERIES_OVERDUE: ("/health", "Health"),
    self_monitoring.ACTION_DISABLED: ("/actions", "Actions"),
}
"""The address and the label of the page for each built-in alert; the others concern an account."""


class NextStep(NamedTuple):
    """What to do, and the page for it."""

    text: str
    href: str
    label: str


def advise(alert: Alert, environment_sid: str | None) -> NextStep | None:
    """Return the next step of an alert of GiftPulse's own; None for others.

    Args:    environment_sid: the account whose credentials come from the environment.
    """
    if alert.rule_id is not None:
        return None
    if alert.rule_name not in BUILT_IN_ADVICE:
        return None
    sid = alert.group.get("account_sid")
    href, label = PAGES.get(alert.rule_name, (f"/accounts/{sid}", "The account"))
    advice = ""
    if alert.rule_name == self_monitoring.CANNOT_READ:
        advice = read_advice.advise(alert.summary, from_environment=sid == environment_sid)
    return NextStep(advice or BUILT_IN_ADVICE[alert.rule_name], href, label)
