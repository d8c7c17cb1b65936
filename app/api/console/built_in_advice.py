"""What to do about an alert of GiftPulse's own, and where. Pure."""

from typing import NamedTuple

from app.models import Alert
from app.services import self_monitoring
from app.services.twilio import read_advice


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
    sid = alert.group.get("account_sid")
    account = f"/accounts/{sid}"
    match alert.rule_name:
        case self_monitoring.CANNOT_READ:
            advice = read_advice.advise(alert.summary, from_environment=sid == environment_sid)
            return NextStep(advice or read_advice.UNREACHED, account, "The account")
        case self_monitoring.RECORDS_SET_ASIDE:
            return NextStep("Look at the records: Twilio may have changed their shape.", account, "The account")
        case self_monitoring.RULE_FAILING:
            return NextStep("Correct the rule's pattern and save it.", "/rules", "Rules")
        case self_monitoring.EVALUATION_BEHIND:
            return NextStep("See that the workers run, and read their log.", "/health", "Health")
        case self_monitoring.DELIVERIES_OVERDUE:
            return NextStep("See what the receivers answered, and retry.", "/deliveries?status=pending", "Deliveries")
        case self_monitoring.ACTION_DISABLED:
            return NextStep("Correct the receiver's address, then enable the action again.", "/actions", "Actions")
        case _:
            return None
