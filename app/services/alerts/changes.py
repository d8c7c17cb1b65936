"""The only writer of alerts: collects a transaction's changes and notifications.

`state_machine` decides what an event changes, `notification_policy` whether to notify. Everything is written at the
end: an alert's change and its deliveries are one commit.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from app import metrics
from app.bulk import Unnest
from app.config import Settings
from app.database import after_commit
from app.enums import AlertStatus, HoldReason, NotificationType
from app.models import Alert, Silence
from app.services.alerts import silences
from app.services.alerts.alert_rows import save
from app.services.alerts.dependencies import Dependencies, load_dependencies
from app.services.alerts.notification_policy import NotifyInput, decide, may_escalate, may_notify_held
from app.services.alerts.state_machine import Columns, Event, Fire, Notify
from app.services.outbox.enqueue import enqueue
from app.services.outbox.notice import Notice, make_notice
from app.services.rules.rule import Rule
from app.utils.crashpoints import crashpoint

log = structlog.get_logger()


@dataclass(frozen=True)
class NotifySettings:
    """A rule's settings for the notifications of its alerts."""

    renotify: timedelta | None
    cooldown: timedelta
    depends_on: tuple[UUID, ...] = ()

    @classmethod
    def from_rule(cls, rule: Rule) -> "NotifySettings":
        """Read them from a rule."""
        renotify = None if rule.renotify_minutes is None else timedelta(minutes=rule.renotify_minutes)
        return cls(renotify, timedelta(minutes=rule.cooldown_minutes), rule.depends_on)


_KNOWN = Unnest("known", mark="text")
BUILT_IN_NOTIFY_SETTINGS = NotifySettings(renotify=None, cooldown=timedelta(minutes=10))
"""For alerts without a rule."""


class AlertChanges:
    """Collects one transaction's changes of alerts. `save_alerts` writes them, then `enqueue_notices` notifies."""

    def __init__(self, session: Session, settings: Settings, now: datetime) -> None:
        self._session, self._settings, self._now = session, settings, now
        self._new: dict[UUID, Alert] = {}
        self._changed: dict[UUID, Alert] = {}
        self._notices: list[Notice] = []
        self._withheld: Counter[HoldReason] = Counter()
        self._previous_firings: dict[str, datetime] = {}
        self._silences: Sequence[Silence] | None = None
        self._dependencies: Dependencies | None = None
        self._max_age = timedelta(hours=settings.notify_max_age_hours)

    def load_previous_firings(self, fingerprints: Iterable[str]) -> None:
        """Read when resolved alerts with these fingerprints last notified of their firing: the cooldown starts there.

        A firing without a delivery starts no cooldown.
        """
        rows = self._session.execute(
            text(
                f"SELECT known.mark, previous.at FROM {_KNOWN}"
                " CROSS JOIN LATERAL ("
                " SELECT a.firing_notified_at AS at FROM alerts a"
                " WHERE a.fingerprint = known.mark AND a.status = 'resolved' AND a.firing_notified_at IS NOT NULL"
                " AND EXISTS (SELECT FROM deliveries d WHERE d.alert_id = a.id)"
                " ORDER BY a.firing_notified_at DESC LIMIT 1) previous"
            ),
            _KNOWN.values((mark,) for mark in fingerprints),
        )
        self._previous_firings |= {row[0]: row[1] for row in rows}

    def open_for_rule(
        self,
        *,
        fingerprint: str,
        rule_id: UUID | None,
        rule_name: str,
        severity: str,
        group: Mapping[str, Any],
        group_key: str,
        started_at: datetime,
        window_from: datetime,
        baseline: float | None = None,
    ) -> Alert:
        """Open an alert of a rule. `decide_notification` decides whether to notify."""
        return self.open(
            Fire(
                fingerprint=fingerprint,
                rule_id=rule_id,
                rule_name=rule_name,
                severity=severity,
                group=group,
                group_key=group_key,
                started_at=started_at,
                window_from=window_from,
                recorded_at=self._now,
                late=started_at < self._now - self._max_age,
                summary=rule_name,
                baseline=baseline,
            )
        )

    def open(self, event: Fire) -> Alert:
        """Open an alert."""
        alert = Alert(**event.columns())
        self._new[alert.id] = alert
        return alert

    def apply(self, alert: Alert, event: Event) -> None:
        """Apply an event to an alert.

        Raises: AlreadyResolved.
        """
        changed = event.transition(alert)
        self._withheld.update(_begins_to_withhold(alert, changed))
        for name, value in changed.items():
            setattr(alert, name, value)
        if alert.id not in self._new:
            self._changed[alert.id] = alert

    def decide_notification(
        self,
        alert: Alert,
        notify_settings: NotifySettings,
        escalate_to: Collection[UUID] = (),
        held_for: Collection[UUID] = (),
    ) -> None:
        """Decide whether to notify of an alert now, and when to check again.

        Args:
            escalate_to: escalating actions whose wait has ended.
            held_for: actions for which its firing was held in a bundle.
        """
        silenced = silences.is_silenced(self._active_silences(), alert.rule_id, alert.group)
        suppressed_by = self._suppressor(alert, notify_settings.depends_on)
        state = self._notify_input(alert, notify_settings, silenced=silenced, suppressed=suppressed_by is not None)
        decision = decide(state, self._now)
        self.apply(
            alert,
            Notify(self._now, decision.notify, decision.recheck_at, silenced, suppressed_by, decision.escalates_from),
        )
        if decision.notify == NotificationType.FIRING:
            self._previous_firings[alert.fingerprint] = self._now
        if decision.notify is not None:
            self._notices.append(make_notice(decision.notify, alert))
        waited = set(escalate_to) if may_escalate(state, decision, self._now) else set()
        if may_notify_held(state):
            waited.update(held_for)
        if waited:
            self._notices.append(make_notice(NotificationType.FIRING, alert, frozenset(waited)))

    def _notify_input(
        self, alert: Alert, notify_settings: NotifySettings, *, silenced: bool, suppressed: bool
    ) -> NotifyInput:
        return NotifyInput(
            status=AlertStatus(alert.status),
            occurrences=alert.occurrences,
            last_match_at=alert.last_match_at,
            late=alert.late,
            silenced=silenced,
            suppressed=suppressed,
            acknowledged_until=alert.acknowledged_until,
            firing_notified_at=alert.firing_notified_at,
            escalates_from=alert.escalates_from,
            notified_at=alert.notified_at,
            notified_occurrences=alert.notified_occurrences,
            previous_firing_at=self._previous_firings.get(alert.fingerprint),
            renotify=notify_settings.renotify,
            cooldown=notify_settings.cooldown,
            max_age=self._max_age,
        )

    def _suppressor(self, alert: Alert, depends_on: Sequence[UUID]) -> UUID | None:
        """Find the alert that suppresses an alert. A resolved alert keeps its suppressor."""
        if alert.status == AlertStatus.RESOLVED:
            return alert.suppressed_by
        if not depends_on:
            return None
        if self._dependencies is None:
            self._dependencies = load_dependencies(self._session)
        return self._dependencies.suppressor(alert, depends_on, [*self._new.values(), *self._changed.values()])

    def _active_silences(self) -> Sequence[Silence]:
        if self._silences is None:
            self._silences = silences.active_silences(self._session, self._now)
        return self._silences

    def discard(self, fingerprint: str) -> None:
        """Forget the changes of the alerts with this fingerprint, and their notifications: judging them failed."""
        for alerts in (self._new, self._changed):
            for alert_id in [alert.id for alert in alerts.values() if alert.fingerprint == fingerprint]:
                del alerts[alert_id]
                self._notices = [notice for notice in self._notices if notice.alert_id != alert_id]

    def save_alerts(self) -> None:
        """Write the alerts. The caller then writes their matches, before `enqueue_notices`."""
        save(self._session, self._new.values(), self._changed.values())
        self._count_metrics()

    def enqueue_notices(self) -> int:
        """Create the deliveries; return how many."""
        if self._notices:
            crashpoint("evaluate.between")
        return enqueue(self._session, self._notices, self._settings, self._now)

    def _count_metrics(self) -> None:
        # Resolved alerts are never loaded for a change, so those here were resolved in this transaction.
        saved = (*self._new.values(), *self._changed.values())
        resolved = [alert for alert in saved if alert.status == AlertStatus.RESOLVED]
        events = [("fired", alert) for alert in self._new.values()] + [("resolved", alert) for alert in resolved]
        increments: dict[metrics.Key, float] = defaultdict(float)
        for event, alert in events:
            increments[metrics.ALERTS.key(severity=alert.severity, event=event)] += 1
        for reason, times in self._withheld.items():
            increments[metrics.ALERTS_WITHHELD.key(by=reason)] += times
        metrics.count(self._session, increments)
        after_commit(self._session, partial(_log, [(f"alert {event}", _facts(alert)) for event, alert in events]))


def _begins_to_withhold(alert: Alert, changed: Columns) -> Iterator[HoldReason]:
    """List what begins to withhold an open alert with a change."""
    if alert.status == AlertStatus.RESOLVED:
        return
    if changed.get("silenced") and not alert.silenced:
        yield HoldReason.SILENCE
    if changed.get("suppressed_by") and not alert.suppressed_by:
        yield HoldReason.DEPENDENCY
    if changed.get("status") == AlertStatus.ACKNOWLEDGED:
        yield HoldReason.ACKNOWLEDGEMENT


def _facts(alert: Alert) -> dict[str, object]:
    """Return what the worker's log may contain about an alert: no text and no group, which may be a number."""
    return {
        "alert_id": str(alert.id),
        "rule_id": None if alert.rule_id is None else str(alert.rule_id),
        "severity": alert.severity,
        "occurrences": alert.occurrences,
        "reason": alert.resolve_reason,
    }


def _log(lines: Sequence[tuple[str, Mapping[str, object]]]) -> None:
    for event, facts in lines:
        log.info(event, **facts)
