"""Creates the deliveries of a notification in the transaction that changed the alert, and freezes their content."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from app import metrics
from app.actions.base import Notification, Rendered
from app.actions.registry import kind_for
from app.actions.sample import sample_notification
from app.config import Settings
from app.database import AdvisoryLock
from app.enums import ActionType, DeliveryStatus, NotificationType
from app.models import Action, Delivery
from app.services.findings import notices as findings
from app.services.outbox import bundle, digest
from app.services.outbox.action_config import config_of
from app.services.outbox.firing_recipients import (
    FiringRecipients,
    firing_recipients,
    received_firing,
    recipient_identity,
    recipient_key,
)
from app.services.outbox.notice import Notice
from app.services.outbox.notification_builder import NotificationBuilder, comparable
from app.services.outbox.rows import delivery_row
from app.services.outbox.targets import Target, load_targets
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

log = structlog.get_logger()


def enqueue(session: Session, notices: Sequence[Notice], settings: Settings, now: datetime) -> int:
    """Create a delivery for each notice and each receiver of the actions that want it; return how many.

    The alerts' matches are stored already: the notification shows the newest logs. Notifications that come too fast for
    an action are folded: their rows wait for a digest.

    Transactions are serialized from here to their end, so that each sees how many notifications the others created.
    Call it last: a transaction that then waited for another's rows could deadlock.
    """
    if not notices:
        return 0
    found = findings.find(session, comparable(notices), settings)
    lock_notices(session)
    bundle.remove_firings(session, {each.alert_id for each in notices if each.type == NotificationType.RESOLVED}, now)
    recipients = firing_recipients(session, notices)
    bundle.replace_held(session, [(each.alert_id, action_id) for each in notices for action_id in each.only_actions])
    targets = load_targets(session, settings)
    if not any(target.wants(each) for target in targets for each in notices):
        return 0
    deliveries = _Deliveries(session, recipients, now)
    builder = NotificationBuilder(session, notices, found, settings, now)
    for each in notices:
        notification, label = builder.build(each, deliveries.escalates_to(targets, each)), builder.finding_label(each)
        if each.type == NotificationType.RESOLVED:
            deliveries.remove_firing(each.alert_id)
        for target in targets:
            if target.wants(each):
                deliveries.add(target, notification, each, label)
    if deliveries.rows:
        session.execute(insert(Delivery), deliveries.rows)
    metrics.count(session, deliveries.escalations)
    return len(deliveries.rows)


class _Deliveries:
    """The deliveries that a transaction creates, and who was notified by earlier ones."""

    def __init__(self, session: Session, recipients: FiringRecipients, now: datetime) -> None:
        self.rows: list[JsonObject] = []
        self.escalations: Counter[metrics.Key] = Counter()
        self._now = now
        self._notified, self._bundled = recipients
        self._bundles = bundle.open_bundles(session, now)
        self._recent_counts = digest.count_recent(session, now)

    def escalates_to(self, targets: Sequence[Target], notice: Notice) -> list[tuple[str, str]]:
        """List the actions that are notified later if nobody acknowledges the alert, and when, the soonest first."""
        if notice.type == NotificationType.RESOLVED:
            return []
        notified_actions = {action_id for alert_id, action_id, _ in self._notified if alert_id == notice.alert_id}
        waiting = [
            (at, target.name)
            for target in targets
            if (at := target.escalation_time(notice))
            and target.action.id not in {*notified_actions, *notice.only_actions}
        ]
        return [(name, rfc3339(at)) for at, name in sorted(waiting)]

    def add(self, target: Target, notification: Notification, notice: Notice, finding: str | None) -> None:
        """Create the deliveries of one action. If that fails, the other actions are still notified."""
        try:
            new_rows = self._make(target, notification, notice, finding)
        except Exception:
            log.exception("the deliveries of an action could not be created", action_id=str(target.action.id))
            return
        self.rows += new_rows
        if new_rows and new_rows[0]["bundle_until"] is None:
            self._recent_counts[target.action.id] = self._recent_counts.get(target.action.id, 0) + 1
        if notice.type == NotificationType.FIRING:
            keys = {recipient_key(notice, row["action_id"], row["action_type"], row["recipient"]) for row in new_rows}
            self._notified |= keys
            if new_rows and target.action.after_minutes:
                self.escalations[metrics.ESCALATIONS.key(action_type=target.action.action_type)] += 1
            self._bundled |= keys if new_rows and new_rows[0]["bundle_until"] else set()

    def remove_firing(self, alert_id: UUID) -> None:
        """Remove a firing from its bundle if its alert resolves in the same transaction: nobody is notified of it."""
        taken = [row for row in self.rows if row["alert_id"] == alert_id and row["bundle_until"] is not None]
        self.rows = [row for row in self.rows if row not in taken]
        keys = {(alert_id, row["action_id"], recipient_identity(row["action_type"], row["recipient"])) for row in taken}
        self._notified -= keys
        self._bundled -= keys

    def _make(
        self, target: Target, notification: Notification, notice: Notice, finding: str | None
    ) -> list[JsonObject]:
        """Render once for the action, and address it to each receiver that wants it."""
        kind = kind_for(ActionType(target.action.action_type))
        recipients = [each for each in kind.recipients(target.config) if self._is_notified(target.action, notice, each)]
        if not recipients:
            return []
        if notice.type == NotificationType.FIRING and target.action.after_minutes:
            notification = replace(notification, escalated_after_minutes=target.action.after_minutes)
        changes = self._postponed(target, notification, finding) if kind.takes_digests(target.config) else {}
        is_folded = "status" in changes
        rendered = (
            Rendered(digest.folded_content(notification)) if is_folded else kind.render(target.config, notification)
        )
        return [
            delivery_row(target.action, notice.type, notice.alert_id, each, rendered, self._now) | changes
            for each in recipients
        ]

    def _postponed(self, target: Target, notification: Notification, finding: str | None) -> JsonObject:
        """Return the columns of a delivery that waits for a bundle or a digest; empty if it is sent at once."""
        action = target.action
        if action.bundle_seconds and notification.type == NotificationType.FIRING:
            until = self._bundles.setdefault(action.id, self._now + timedelta(seconds=action.bundle_seconds))
            item = bundle.bundle_item(notification, finding)
            return {"bundle_until": until, "next_attempt_at": until, "bundle_item": item}
        if self._recent_counts.get(action.id, 0) >= digest.MAX_NOTIFICATIONS:
            return {"status": DeliveryStatus.FOLDED, "next_attempt_at": None}
        return {}

    def _is_notified(self, action: Action, notice: Notice, recipient: str) -> bool:
        """Return whether a receiver is notified: of a resolve if it was notified of the firing, and once of each."""
        key = recipient_key(notice, action.id, action.action_type, recipient)
        if notice.type == NotificationType.RESOLVED:
            return received_firing(action, notice, key, self._notified)
        if notice.type == NotificationType.UPDATE:
            # Its bundle will contain the alert, or the action waits until the alert has lasted long enough.
            return key not in self._bundled and (not action.after_minutes or key in self._notified)
        return not notice.only_actions or key not in self._notified


def lock_notices(session: Session) -> None:
    """Wait for the transactions that create deliveries, and block others from creating any until this one ends.

    Edits of actions take this lock, too. With row locks an edit could starve: shared locks overtake a waiting
    exclusive one.
    """
    session.execute(select(func.pg_advisory_xact_lock(AdvisoryLock.NOTICES)))


def make_test(session: Session, action: Action, settings: Settings, now: datetime) -> list[UUID]:
    """Create the deliveries of a test of one action, with a sample alert."""
    config = config_of(action, settings)
    kind = kind_for(ActionType(action.action_type))
    rendered = kind.render(
        config, replace(sample_notification(settings.public_base_url, now), timezone=settings.notify_timezone)
    )
    rows = [delivery_row(action, NotificationType.TEST, None, each, rendered, now) for each in kind.recipients(config)]
    session.execute(insert(Delivery), rows)
    return [row["id"] for row in rows]
