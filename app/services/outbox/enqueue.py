"""Creates the deliveries of a notification in the transaction that changed the alert, and freezes their content."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import orjson
import structlog
from sqlalchemy import func, insert, select, true
from sqlalchemy.orm import Session

from app import metrics
from app.actions.base import Notification, Rendered, Spread
from app.actions.registry import kind_for
from app.actions.sample import sample_notification
from app.config import Settings
from app.enums import ActionType, DeliveryStatus, NotificationType, Severity
from app.models import Action, Alert, Delivery, Log, Match, Rule
from app.services.findings import notices as findings
from app.services.findings.comparison import MIN_LOGS
from app.services.findings.samples import ComparedAlert
from app.services.outbox import bundle, digest, spread
from app.services.outbox.rows import config_of, delivery_row, receivers_name
from app.services.serializers import alert_json, log_json, rule_json, select_logs
from app.services.twilio.error_codes import describe
from app.utils.clock import rfc3339
from app.utils.crypto import Undecryptable
from app.utils.json_types import JsonObject
from app.utils.redact import mask_numbers

MAX_SHOWN_LOGS = 10
# An arbitrary number that no other advisory lock of this database uses.
NOTICES_LOCK = 4_715_620_763

log = structlog.get_logger()
RecipientKey = tuple[UUID, UUID, str]
"""An alert, an action and its receiver, as `_receiver_key` identifies it."""


@dataclass(frozen=True)
class Notice:
    """A notification about an alert as it is at that moment."""

    type: NotificationType
    alert_id: UUID
    rule_id: UUID | None
    severity: Severity
    shown: JsonObject
    """The alert as the API shows it."""
    fired_at: datetime | None = None
    """When receivers were notified of its firing."""
    escalates_from: datetime | None = None
    """When the wait of escalating actions begins."""
    escalate_to: frozenset[UUID] = frozenset()
    """Escalating actions whose wait has ended, and those for which the firing was held: only they are notified. Empty:
    only actions that do not wait are."""


def make_notice(kind: NotificationType, alert: Alert, escalate_to: frozenset[UUID] = frozenset()) -> Notice:
    """Create a notification from an alert."""
    return Notice(
        kind,
        alert.id,
        alert.rule_id,
        Severity(alert.severity),
        alert_json(alert),
        alert.firing_notified_at,
        alert.escalates_from,
        escalate_to,
    )


@dataclass(frozen=True)
class Target:
    """An action with its decrypted config."""

    action: Action
    config: JsonObject

    @property
    def name(self) -> str:
        """Name the action by its receivers."""
        action_type = ActionType(self.action.action_type)
        return receivers_name(action_type, kind_for(action_type).recipients(self.config))

    def wants(self, notice: Notice) -> bool:
        """Return whether the action wants the notification.

        A resolve is for every action that takes firings, regardless of edits since; see `_received_firing`.
        """
        if notice.type.removeprefix("alert.") not in self.action.notify_on:
            return False
        if notice.type == NotificationType.RESOLVED and "firing" in self.action.notify_on:
            return True
        return self._covers(notice) and self._is_its_turn(notice)

    def _is_its_turn(self, notice: Notice) -> bool:
        """An escalating action is notified of a firing after its wait; `enqueue` knows who was."""
        if notice.type != NotificationType.FIRING:
            return True
        return self.action.id in notice.escalate_to if notice.escalate_to else not self.action.after_minutes

    def escalation_time(self, notice: Notice) -> datetime | None:
        """Return when the action is notified of the firing if nobody acknowledges it; None if it does not escalate."""
        waits = self.action.after_minutes and notice.escalates_from and "firing" in self.action.notify_on
        if not waits or not self._covers(notice) or notice.escalates_from is None:
            return None
        return notice.escalates_from + timedelta(minutes=self.action.after_minutes)

    def _covers(self, notice: Notice) -> bool:
        in_scope = self.action.rule_id is None or self.action.rule_id == notice.rule_id
        severe_enough = notice.severity.rank >= Severity(self.action.min_severity).rank
        return in_scope and severe_enough


def enqueue(session: Session, notices: Sequence[Notice], settings: Settings, now: datetime) -> int:
    """Create a delivery for each notice and each receiver of the actions that want it; return how many.

    The alerts' matches are stored already: the notification shows the newest logs. Notifications that come too fast for
    an action are folded: their rows wait for a digest.

    Transactions are serialized from here to their end, so that each sees how many notifications the others created.
    Call it last: a transaction that then waited for another's rows could deadlock.
    """
    if not notices:
        return 0
    found = findings.find(session, _compared(notices), settings)
    lock_notices(session)
    bundle.remove_firings(session, {each.alert_id for each in notices if each.type == NotificationType.RESOLVED}, now)
    recipients = _firing_recipients(session, notices)
    bundle.replace_held(session, [(each.alert_id, action_id) for each in notices for action_id in each.escalate_to])
    targets = _targets(session, settings)
    if not any(target.wants(each) for target in targets for each in notices):
        return 0
    deliveries = _Deliveries(session, recipients, now)
    logs = _newest_logs(session, {each.alert_id for each in notices}, settings)
    rules = _rules(session, {each.rule_id for each in notices if each.rule_id}, settings)
    spreads = spread.spreads(session, {each.alert_id for each in notices})
    names = spread.account_names(session, _accounts(notices, spreads))
    for each in notices:
        rule = rules.get(each.rule_id) if each.rule_id else None
        code = describe(each.shown["error"]["code"]) if each.shown["error"] else None
        finding = found.get(each.alert_id)
        notification = Notification(
            type=each.type,
            timestamp=now,
            alert=_masked(each.shown | {"finding": finding.sentence if finding else None}, settings),
            rule=rule,
            logs=logs.get(each.alert_id, []),
            base_url=settings.public_base_url,
            advice=code.next_step if code else "",
            advice_fits_one=bool(code and code.fits_one),
            spread=spreads.get(each.alert_id),
            account_names=names,
            escalates_to=deliveries.escalates_to(targets, each),
            timezone=((rule or {}).get("schedule") or {}).get("timezone", settings.notify_timezone),
        )
        if each.type == NotificationType.RESOLVED:
            deliveries.remove_firing(each.alert_id)
        label = _masked({"label": finding.label}, settings)["label"] if finding else None
        for target in targets:
            if target.wants(each):
                deliveries.add(target, notification, each, label)
    if deliveries.rows:
        session.execute(insert(Delivery), deliveries.rows)
    metrics.count(session, deliveries.escalations)
    return len(deliveries.rows)


class _Deliveries:
    """The deliveries that a transaction creates, and who was notified by earlier ones."""

    def __init__(self, session: Session, recipients: "FiringRecipients", now: datetime) -> None:
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
            and target.action.id not in {*notified_actions, *notice.escalate_to}
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
            keys = {_recipient_key(notice, row["action_id"], row["action_type"], row["recipient"]) for row in new_rows}
            self._notified |= keys
            if new_rows and target.action.after_minutes:
                self.escalations[metrics.ESCALATIONS.key(action_type=target.action.action_type)] += 1
            self._bundled |= keys if new_rows and new_rows[0]["bundle_until"] else set()

    def remove_firing(self, alert_id: UUID) -> None:
        """Remove a firing from its bundle if its alert resolves in the same transaction: nobody is notified of it."""
        taken = [row for row in self.rows if row["alert_id"] == alert_id and row["bundle_until"] is not None]
        self.rows = [row for row in self.rows if row not in taken]
        keys = {(alert_id, row["action_id"], _receiver_key(row["action_type"], row["recipient"])) for row in taken}
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
        takes_digests = kind.takes_digests(target.config)
        changes: JsonObject = {}
        if target.action.bundle_seconds and takes_digests and notice.type == NotificationType.FIRING:
            until = self._now + timedelta(seconds=target.action.bundle_seconds)
            until = self._bundles.setdefault(target.action.id, until)
            item = bundle.bundle_item(notification, finding)
            changes = {"bundle_until": until, "next_attempt_at": until, "bundle_item": item}
        elif takes_digests and self._recent_counts.get(target.action.id, 0) >= digest.MAX_NOTIFICATIONS:
            changes = {"status": DeliveryStatus.FOLDED, "next_attempt_at": None}
        is_folded = "status" in changes
        rendered = (
            Rendered(digest.folded_content(notification)) if is_folded else kind.render(target.config, notification)
        )
        return [
            delivery_row(target.action, notice.type, notice.alert_id, each, rendered, self._now, uuid4()) | changes
            for each in recipients
        ]

    def _is_notified(self, action: Action, notice: Notice, recipient: str) -> bool:
        """Return whether a receiver is notified: of a resolve if it was notified of the firing, and once of each."""
        key = _recipient_key(notice, action.id, action.action_type, recipient)
        if notice.type == NotificationType.RESOLVED:
            return _received_firing(action, notice, key, self._notified)
        if notice.type == NotificationType.UPDATE:
            # Its bundle will contain the alert, or the action waits until the alert has lasted long enough.
            return key not in self._bundled and (not action.after_minutes or key in self._notified)
        return not notice.escalate_to or key not in self._notified


def _compared(notices: Sequence[Notice]) -> Iterator[ComparedAlert]:
    """Choose the alerts whose logs are worth comparing: open ones with enough logs."""
    for each in notices:
        if each.type != NotificationType.RESOLVED and each.rule_id and each.shown["occurrences"] >= MIN_LOGS:
            yield ComparedAlert(each.alert_id, each.rule_id, each.shown["group"])


def lock_notices(session: Session) -> None:
    """Wait for the transactions that create deliveries, and block others from creating any until this one ends.

    Edits of actions take this lock, too. With row locks an edit could starve: shared locks overtake a waiting
    exclusive one.
    """
    session.execute(select(func.pg_advisory_xact_lock(NOTICES_LOCK)))


def _rules(session: Session, ids: set[UUID], settings: Settings) -> dict[UUID, JsonObject]:
    return {
        rule.id: _masked(rule_json(rule), settings) for rule in session.scalars(select(Rule).where(Rule.id.in_(ids)))
    }


def make_test(session: Session, action: Action, settings: Settings, now: datetime) -> list[UUID]:
    """Create the deliveries of a test of one action, with a sample alert."""
    config = config_of(action, settings)
    kind = kind_for(ActionType(action.action_type))
    rendered = kind.render(
        config, replace(sample_notification(settings.public_base_url, now), timezone=settings.notify_timezone)
    )
    rows = [
        delivery_row(action, NotificationType.TEST, None, each, rendered, now, uuid4())
        for each in kind.recipients(config)
    ]
    session.execute(insert(Delivery), rows)
    return [row["id"] for row in rows]


def _targets(session: Session, settings: Settings) -> list[Target]:
    """Find the enabled actions. The lock on notices keeps them from being edited or deleted."""
    query = select(Action).where(Action.enabled).order_by(Action.created_at, Action.id)
    targets = []
    for action in session.scalars(query):
        try:
            targets.append(Target(action, config_of(action, settings)))
        except Undecryptable as error:
            # The others must still be notified. This one's deliveries would have failed in the same way.
            log.error("an action cannot be read", action_id=str(action.id), error=str(error))  # noqa: TRY400 - no stack helps
    return targets


def _received_firing(action: Action, notice: Notice, key: RecipientKey, notified: set[RecipientKey]) -> bool:
    """Return whether a receiver was notified of the firing, or its action only does not ask for firings."""
    if "firing" in action.notify_on:
        return key in notified
    assert notice.fired_at is not None, "an alert whose firing was not notified has no resolve"
    return action.created_at <= notice.fired_at


def _recipient_key(notice: Notice, action_id: UUID, action_type: str, recipient: str) -> RecipientKey:
    return notice.alert_id, action_id, _receiver_key(action_type, recipient)


def _receiver_key(action_type: str, recipient: str) -> str:
    """Identify a receiver within its action. A webhook has only one, which stays the same when its URL is edited."""
    return action_type if action_type == ActionType.WEBHOOK else recipient


class FiringRecipients(NamedTuple):
    """The receivers of the firing of some alerts."""

    notified: set[RecipientKey]
    """Those with a delivery of it, by itself or within a digest."""
    bundled: set[RecipientKey]
    """Those whose delivery waits in a bundle or is held."""


def _firing_recipients(session: Session, notices: Sequence[Notice]) -> FiringRecipients:
    """Find the receivers of the firing of these alerts by earlier deliveries."""
    alert_ids = {each.alert_id for each in notices}
    rows = session.execute(
        select(
            Delivery.alert_id,
            Delivery.action_id,
            Delivery.action_type,
            Delivery.recipient,
            Delivery.bundle_until,
            Delivery.held_by,
        ).where(Delivery.alert_id.in_(alert_ids), Delivery.type == NotificationType.FIRING)
    )
    notified: set[RecipientKey] = set()
    bundled: set[RecipientKey] = set()
    for row in rows:
        key = row.alert_id, row.action_id, _receiver_key(row.action_type, row.recipient)
        if row.held_by is None:
            notified.add(key)
        if row.bundle_until is not None:
            bundled.add(key)
    return FiringRecipients(notified, bundled)


def _newest_logs(session: Session, alert_ids: set[UUID], settings: Settings) -> dict[UUID, list[JsonObject]]:
    """Find the newest logs that count towards each alert, in one statement."""
    newest = (
        select(Match.occurred_at, Match.log_id)
        .where(Match.alert_id == Alert.id)
        .order_by(Match.changed_at.desc(), Match.sid.desc())
        .limit(MAX_SHOWN_LOGS)
        .lateral("newest")
    )
    newest_matches = select(Alert.id.label("alert_id"), newest.c.occurred_at, newest.c.log_id)
    shown_logs = newest_matches.select_from(Alert).join(newest, true()).where(Alert.id.in_(alert_ids)).subquery("shown")
    query = select_logs().add_columns(shown_logs.c.alert_id)
    query = query.join(shown_logs, (Log.occurred_at == shown_logs.c.occurred_at) & (Log.id == shown_logs.c.log_id))
    found: dict[UUID, list[JsonObject]] = defaultdict(list)
    for row in session.execute(query.order_by(Log.changed_at.desc(), Log.sid.desc())):
        shown = log_json(row)
        if not settings.store_message_bodies and shown["log_type"] == "message":
            shown["text"] = None
        found[row.alert_id].append(_masked(shown, settings))
    return found


def _accounts(notices: Sequence[Notice], spreads: Mapping[UUID, Spread]) -> set[str]:
    """Collect the accounts that notifications may name."""
    named = {
        sid for each in notices for sid in (each.shown["group"].get("account_sid"), *each.shown["left_out_accounts"])
    }
    return {sid for sid in named if isinstance(sid, str)} | {sid for each in spreads.values() for sid in each.accounts}


def _masked(shown: JsonObject, settings: Settings) -> JsonObject:
    """Turn the shown values into plain JSON, with masked numbers if the settings ask for that."""
    plain: JsonObject = orjson.loads(orjson.dumps(shown))
    return mask_numbers(plain) if settings.mask_numbers else plain
