"""When an alert is told, as one pure function of what is known and the time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.enums import AlertStatus, NotificationType


@dataclass(frozen=True)
class Standing:
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


@dataclass(frozen=True)
class Decision:
    """What to tell now, and when time alone may change that."""

    tell: NotificationType | None
    look_again_at: datetime | None = None


def decide(standing: Standing, now: datetime) -> Decision:
    """Decide whether to tell of an alert.

    For a resolved alert, ask once, when it resolves.
    """
    if standing.status == AlertStatus.RESOLVED:
        return Decision(NotificationType.RESOLVED if standing.firing_notified_at else None)
    if standing.silenced:
        return Decision(None)
    if standing.firing_notified_at is None:
        return _first(standing, now)
    return _update(standing, now)


def _first(standing: Standing, now: datetime) -> Decision:
    """The firing is not told yet: somebody took it, it is too old, must wait for the cooldown, or is told now."""
    if standing.status == AlertStatus.ACKNOWLEDGED:
        return Decision(None)
    if standing.late and standing.last_match_at < now - standing.max_age:
        return Decision(None)
    if standing.previous_firing_at is not None and now < standing.previous_firing_at + standing.cooldown:
        return Decision(None, standing.previous_firing_at + standing.cooldown)
    return Decision(NotificationType.FIRING)


def _update(standing: Standing, now: datetime) -> Decision:
    """The firing is told: new occurrences are told once in a while, until somebody has taken the alert."""
    taken = standing.status == AlertStatus.ACKNOWLEDGED
    fresh = standing.occurrences > standing.notified_occurrences
    if taken or not fresh or standing.renotify is None or standing.notified_at is None:
        return Decision(None)
    due_at = standing.notified_at + standing.renotify
    return Decision(NotificationType.UPDATE) if now >= due_at else Decision(None, due_at)
