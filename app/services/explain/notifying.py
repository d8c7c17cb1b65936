"""The last steps, for a log that counts towards an alert: who was notified, or what withheld that."""

from collections.abc import Iterator, Sequence

from app.enums import AlertStatus, DeliveryStatus, HoldReason, NotificationType
from app.models import Alert, Delivery
from app.services.alerts.escalation import Escalation
from app.services.explain.steps import Step, StepName, moment
from app.utils.quantities import first_of

FINE = (DeliveryStatus.SUCCEEDED, DeliveryStatus.FOLDED)
WORDS = {
    DeliveryStatus.PENDING: "is pending",
    DeliveryStatus.SUCCEEDED: "succeeded",
    DeliveryStatus.FAILED: "failed",
    DeliveryStatus.FOLDED: "is in a digest",
}
HOLDS = {
    HoldReason.SILENCE: "a silence",
    HoldReason.ACKNOWLEDGEMENT: "an acknowledgement",
    HoldReason.DEPENDENCY: "the alert that explains it",
}


def steps(alert: Alert, sent: Sequence[Delivery], later: Sequence[Escalation]) -> Iterator[Step]:
    """Explain what may withhold a notification, what was sent, and who is notified later."""
    what = "is resolved" if alert.status == AlertStatus.RESOLVED else f"is {alert.status}"
    yield Step(StepName.ALERT, True, f"It counts towards the alert {alert.id}, which {what}: {alert.summary}.")
    yield from _held_back(alert)
    yield _escalation_or_delivery(alert, [each for each in sent if each.type == NotificationType.FIRING], later)


def _held_back(alert: Alert) -> Iterator[Step]:
    if alert.late:
        began, recorded = moment(alert.started_at), moment(alert.recorded_at)
        detail = f"It began at {began} and was recorded at {recorded}: too late to notify."
        yield Step(StepName.LATE, alert.firing_notified_at is not None, detail)
    if alert.silenced:
        was_notified = alert.firing_notified_at is not None
        detail = "A silence holds its updates back: its firing was notified before." if was_notified else ""
        yield Step(StepName.SILENCE, was_notified, detail or "A silence holds its notifications back.")
    if alert.suppressed_by is not None:
        detail = f"The open alert {alert.suppressed_by} explains it, so nobody is notified."
        yield Step(StepName.DEPENDENCY, False, detail)
    if alert.acknowledged_at is not None and alert.acknowledged_by:
        until = f" until {moment(alert.acknowledged_until)}" if alert.acknowledged_until else ""
        since = moment(alert.acknowledged_at)
        detail = f"{alert.acknowledged_by} acknowledged it at {since}: no updates from then on{until}."
        yield Step(StepName.ACKNOWLEDGED, alert.firing_notified_at is not None, detail)
    if alert.firing_notified_at is None and alert.notify_at is not None and alert.status == AlertStatus.FIRING:
        notifies = f"this one notifies at {moment(alert.notify_at)} if it still fires"
        detail = f"An alert of its group notified shortly before: {notifies}."
        yield Step(StepName.COOLDOWN, None, detail)


def _became(delivery: Delivery) -> str:
    held = f"is held by {HOLDS[HoldReason(delivery.held_by)]}" if delivery.held_by else None
    return held or WORDS[DeliveryStatus(delivery.status)]


def _escalation_or_delivery(alert: Alert, firings: Sequence[Delivery], later: Sequence[Escalation]) -> Step:
    waiting = first_of([f"{each.name} at {moment(each.at)}" for each in later])
    if later and not firings:
        return Step(StepName.TOLD, None, f"It escalates if nobody acknowledges it: {waiting}.")
    if alert.firing_notified_at is None:
        return Step(StepName.TOLD, False, "Nobody was notified that it fires.")
    if not firings:
        return Step(StepName.TOLD, False, "No enabled action wanted its notification.")
    how = first_of([f"to {each.recipient} {_became(each)}" for each in firings])
    statuses = {each.status for each in firings}
    passed = True if statuses & {*FINE} else (None if DeliveryStatus.PENDING in statuses else False)
    return Step(
        StepName.TOLD,
        passed,
        f"The firing notification of {moment(alert.firing_notified_at)}: {how}{f'; later {waiting}' if later else ''}.",
    )
