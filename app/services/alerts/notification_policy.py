"""When to notify of an alert, as one pure function of its state and the time."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.enums import AlertStatus, NotificationType


@dataclass(frozen=True)
class NotifyInput:
    """Everything that decides whether to notify of an alert now."""

    status: AlertStatus
    occurrences: int
    last_match_at: datetime
    late: bool
    silenced: bool
    firing_notified_at: datetime | None
    """When receivers were notified of its firing."""
    notified_at: datetime | None
    """When receivers were last notified of it, as firing or update."""
    notified_occurrences: int
    previous_firing_at: datetime | None
    """When receivers were last notified of the firing of an earlier alert of the same rule and group."""
    renotify: timedelta | None
    cooldown: timedelta
    max_age: timedelta
    """An older alert is recorded as late and notifies nobody."""
    acknowledged_until: datetime | None = None
    """When an acknowledgement expires."""
    escalates_from: datetime | None = None
    """When the wait of escalating actions begins."""
    suppressed: bool = False
    """An open alert of a rule that its rule depends on explains it."""


@dataclass(frozen=True)
class Decision:
    """The notification to send now, and when time alone may change that."""

    notify: NotificationType | None
    recheck_at: datetime | None = None
    escalates_from: datetime | None = None
    """When the wait of escalating actions begins; None if no firing was notified or updates are withheld."""


def decide(alert_state: NotifyInput, now: datetime) -> Decision:
    """Decide whether to notify of an alert.

    Call it for a resolved alert once, when it resolves.
    """
    decision = _decide(alert_state, now)
    return replace(decision, escalates_from=_escalates_from(alert_state, decision, now))


def may_escalate(alert_state: NotifyInput, decision: Decision, now: datetime) -> bool:
    """Return whether escalating actions may be notified: nobody has acknowledged the alert, nothing withholds it.

    Args:    decision: the decision of now: if the wait only begins with it, no action has waited yet.
    """
    began = decision.escalates_from
    return may_notify_held(alert_state) and began is not None and began < now


def may_notify_held(alert_state: NotifyInput) -> bool:
    """Return whether a firing may be sent now to actions for which it was held in a bundle."""
    withheld = alert_state.silenced or alert_state.suppressed
    return alert_state.status == AlertStatus.FIRING and not withheld


def _escalates_from(alert_state: NotifyInput, decision: Decision, now: datetime) -> datetime | None:
    """The wait begins when the firing is notified, and again when something stops withholding the alert."""
    if decision.notify == NotificationType.FIRING:
        return now
    if alert_state.firing_notified_at is None:
        return None
    if alert_state.status != AlertStatus.RESOLVED and (alert_state.silenced or alert_state.suppressed):
        return None
    return alert_state.escalates_from or now


def _decide(alert_state: NotifyInput, now: datetime) -> Decision:
    if alert_state.status == AlertStatus.RESOLVED:
        return Decision(NotificationType.RESOLVED if alert_state.firing_notified_at else None)
    if alert_state.status == AlertStatus.ACKNOWLEDGED:
        return Decision(None, alert_state.acknowledged_until)
    if alert_state.silenced or alert_state.suppressed:
        return Decision(None)
    if alert_state.firing_notified_at is None:
        return _decide_firing(alert_state, now)
    return _decide_update(alert_state, now)


def _decide_firing(alert_state: NotifyInput, now: datetime) -> Decision:
    """No firing was notified yet: it is too old, waits for the cooldown, or is notified now."""
    if alert_state.late and alert_state.last_match_at < now - alert_state.max_age:
        return Decision(None)
    if alert_state.previous_firing_at is not None and now < alert_state.previous_firing_at + alert_state.cooldown:
        return Decision(None, alert_state.previous_firing_at + alert_state.cooldown)
    return Decision(NotificationType.FIRING)


def _decide_update(alert_state: NotifyInput, now: datetime) -> Decision:
    """The firing was notified: new occurrences send a reminder once in a while."""
    has_new_matches = alert_state.occurrences > alert_state.notified_occurrences
    if not has_new_matches or alert_state.renotify is None or alert_state.notified_at is None:
        return Decision(None)
    due_at = alert_state.notified_at + alert_state.renotify
    return Decision(NotificationType.UPDATE) if now >= due_at else Decision(None, due_at)
