"""Counts the notifications that the alerts of a preview would have sent. Pure.

Reminders are left out: they depend on when somebody would have acknowledged the alert.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class AlertTimes:
    """What the notifications of a preview's alert depend on."""

    group: str
    """Equal for alerts of the same group."""
    started_at: datetime
    resolved_at: datetime | None
    silenced: bool


def count_notifications(
    alerts: Sequence[AlertTimes], cooldown: timedelta, notify_on: Sequence[Sequence[str]], until: datetime
) -> int:
    """Count what is sent as firing and as resolved.

    Args:
        alerts: oldest first.
        notify_on: the `notify_on` of each action that takes the rule's alerts.
        until: the end of the preview; later notifications are not counted.
    """
    fired, resolved = 0, 0
    for alert in _notified(alerts, cooldown, until):
        fired += 1
        resolved += alert.resolved_at is not None
    return sum(fired * ("firing" in kinds) + resolved * ("resolved" in kinds) for kinds in notify_on)


def _notified(alerts: Sequence[AlertTimes], cooldown: timedelta, until: datetime) -> Iterator[AlertTimes]:
    """Yield the alerts whose firing is sent: not silenced, and still open when the cooldown of their group ends."""
    last: dict[str, datetime] = {}
    for alert in alerts:
        if alert.silenced:
            continue
        due = max(alert.started_at, last.get(alert.group, alert.started_at - cooldown) + cooldown)
        if due < (alert.resolved_at or until) or due == alert.started_at:
            last[alert.group] = due
            yield alert
