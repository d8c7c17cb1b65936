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

    @property
    def withheld(self) -> bool:
        """Whether no firing or update is sent now."""
        return self.silenced or self.suppressed


@dataclass(frozen=True)
class Decision:
    """The notification to send now, and when time alone may change that."""

    notify: NotificationType | None
    recheck_at: datetime | None = None
    escalates_from: datetime | None = None
    """When the wait of escalating actions begins; None if no firing was notified or updates are withheld."""


def decide(given: NotifyInput, now: datetime) -> Decision:
    """Decide whether to notify of an alert.

    Call it for a resolved alert once, when it resolves.
    """
    decision = _decide(given, now)
    return replace(decision, escalates_from=_escalates_from(given, decision, now))


def may_escalate(given: NotifyInput, decision: Decision, now: datetime) -> bool:
    """Return whether escalating actions may be notified: nobody has acknowledged the alert, nothing withholds it.

    Args:    decision: the decision of now: if the wait only begins with it, no action has waited yet.
    """
    began = decision.escalates_from
    return may_notify_held(given) and began is not None and began < now


def may_notify_held(given: NotifyInput) -> bool:
    """Return whether a firing may be sent now to actions for which it was held in a bundle."""
    return given.status == AlertStatus.FIRING and not given.withheld


def _escalates_from(given: NotifyInput, decision: Decision, now: datetime) -> datetime | None:
    """The wait begins when the firing is notified, and again when something stops withholding the alert."""
    if decision.notify == NotificationType.FIRING:
        return now
    if given.firing_notified_at is None:
        return None
    if given.status != AlertStatus.RESOLVED and given.withheld:
        return None
    return given.escalates_from or now


def _decide(given: NotifyInput, now: datetime) -> Decision:
    if given.status == AlertStatus.RESOLVED:
        return Decision(NotificationType.RESOLVED if given.firing_notified_at else None)
    if given.status == AlertStatus.ACKNOWLEDGED:
        return Decision(None, given.acknowledged_until)
    if given.withheld:
        return Decision(None)
    if given.firing_notified_at is None:
        return _decide_firing(given, now)
    return _decide_update(given, now)


def _decide_firing(given: NotifyInput, now: datetime) -> Decision:
    """No firing was notified yet: it is too old, waits for the cooldown, or is notified now."""
    if given.late and given.last_match_at < now - given.max_age:
        return Decision(None)
    if given.previous_firing_at is not None and now < given.previous_firing_at + given.cooldown:
        return Decision(None, given.previous_firing_at + given.cooldown)
    return Decision(NotificationType.FIRING)


def _decide_update(given: NotifyInput, now: datetime) -> Decision:
    """The firing was notified: new occurrences send a reminder once in a while."""
    has_new_matches = given.occurrences > given.notified_occurrences
    if not has_new_matches or given.renotify is None or given.notified_at is None:
        return Decision(None)
    due_at = given.notified_at + given.renotify
    return Decision(NotificationType.UPDATE) if now >= due_at else Decision(None, due_at)
