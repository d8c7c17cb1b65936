"""When an alert is told, as one pure function of what is known and the time."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.enums import AlertStatus, NotificationType


@dataclass(frozen=True)
class NotifyInput:
    """What decides whether somebody is to be told of an alert now."""

    status: AlertStatus
    occurrences: int
    last_match_at: datetime
    late: bool
    silenced: bool
    firing_notified_at: datetime | None
    """When its firing was told."""
    notified_at: datetime | None
    """When it was last told of, as firing or update."""
    notified_occurrences: int
    previous_firing_at: datetime | None
    """When an earlier alert of the same rule and group was last told as firing."""
    renotify: timedelta | None
    cooldown: timedelta
    max_age: timedelta
    """What is older is recorded as late and told to nobody."""
    acknowledged_until: datetime | None = None
    """When an acknowledgement ends by itself."""
    escalates_from: datetime | None = None
    """From when actions that escalate wait."""
    suppressed: bool = False
    """An open alert of a rule that its rule depends on explains it."""


@dataclass(frozen=True)
class Decision:
    """What to tell now, and when time alone may change that."""

    notify: NotificationType | None
    recheck_at: datetime | None = None
    escalates_from: datetime | None = None
    """From when actions that escalate wait; None: the firing is not told, or updates are withheld."""


def decide(alert_state: NotifyInput, now: datetime) -> Decision:
    """Decide whether to tell of an alert.

    For a resolved alert, ask once, when it resolves.
    """
    decision = _decide(alert_state, now)
    return replace(decision, escalates_from=_escalates_from(alert_state, decision, now))


def may_escalate(alert_state: NotifyInput, decision: Decision, now: datetime) -> bool:
    """Say whether an alert may be told now to actions that waited: nobody has acknowledged it, nothing withholds it.

    Args:    decision: what was decided of it now: where it begins to wait only now, nobody has waited.
    """
    began = decision.escalates_from
    return may_tell_held(alert_state) and began is not None and began < now


def may_tell_held(alert_state: NotifyInput) -> bool:
    """Say whether the firing of an alert may be told now to actions for which it was held in a bundle."""
    withheld = alert_state.silenced or alert_state.suppressed
    return alert_state.status == AlertStatus.FIRING and not withheld


def _escalates_from(alert_state: NotifyInput, decision: Decision, now: datetime) -> datetime | None:
    """The wait begins when the firing is told, and anew when what withheld the alert ends."""
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
    """The firing is not told yet: it is too old, must wait for the cooldown, or is told now."""
    if alert_state.late and alert_state.last_match_at < now - alert_state.max_age:
        return Decision(None)
    if alert_state.previous_firing_at is not None and now < alert_state.previous_firing_at + alert_state.cooldown:
        return Decision(None, alert_state.previous_firing_at + alert_state.cooldown)
    return Decision(NotificationType.FIRING)


def _decide_update(alert_state: NotifyInput, now: datetime) -> Decision:
    """The firing is told: new occurrences are told once in a while."""
    has_new_matches = alert_state.occurrences > alert_state.notified_occurrences
    if not has_new_matches or alert_state.renotify is None or alert_state.notified_at is None:
        return Decision(None)
    due_at = alert_state.notified_at + alert_state.renotify
    return Decision(NotificationType.UPDATE) if now >= due_at else Decision(None, due_at)
