"""Makes the deliveries that a notification owes, in the transaction that changed the alert; freezes what is sent."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import structlog
from sqlalchemy import insert, select, true
from sqlalchemy.orm import Session

from app.actions.base import Notification
from app.actions.registry import kind_for
from app.config import Settings
from app.enums import ActionType, DeliveryStatus, NotificationType, Severity
from app.models import Action, Alert, Delivery, Log, Match, Rule
from app.services.snapshots import alert_json, log_json, rule_json, select_logs
from app.utils.crypto import Undecryptable, decrypt
from app.utils.redact import mask_numbers

SHOWN_LOGS = 10

log = structlog.get_logger()
JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Notice:
    """Something to be told of an alert, as the alert stands at that moment."""

    type: NotificationType
    alert_id: UUID
    rule_id: UUID | None
    severity: Severity
    shown: JsonObject
    """The alert as the API shows it."""


def notice(kind: NotificationType, alert: Alert) -> Notice:
    """Take a picture of an alert to be told of."""
    return Notice(kind, alert.id, alert.rule_id, Severity(alert.severity), alert_json(alert))


@dataclass(frozen=True)
class Target:
    """An action, ready to take notifications."""

    action: Action
    config: JsonObject


def enqueue(session: Session, notices: Sequence[Notice], settings: Settings, now: datetime) -> int:
    """Make a delivery for each notice, action and receiver that want each other; return how many.

    The matches of the alerts are stored already: the newest of their logs are shown.
    """
    if not notices:
        return 0
    targets = _targets(session, settings)
    told = _told_of_firing(session, notices)
    logs = _newest_logs(session, {each.alert_id for each in notices}, settings) if targets else {}
    rule_ids = {each.rule_id for each in notices if each.rule_id}
    rules = (
        {rule.id: rule_json(rule) for rule in session.scalars(select(Rule).where(Rule.id.in_(rule_ids)))}
        if targets
        else {}
    )
    rows: list[JsonObject] = []
    for each in notices:
        notification = Notification(
            type=each.type,
            timestamp=now,
            alert=_masked(each.shown, settings),
            rule=rules.get(each.rule_id) if each.rule_id else None,
            logs=logs.get(each.alert_id, []),
            base_url=settings.public_base_url,
        )
        for target in targets:
            if _wants(target.action, each):
                made = _deliveries(target, notification, each, told, now)
                if each.type == NotificationType.FIRING:
                    told |= {(each.alert_id, row["action_id"], row["recipient"]) for row in made}
                rows += made
    if rows:
        session.execute(insert(Delivery), rows)
    return len(rows)


def make_test(session: Session, action: Action, settings: Settings, now: datetime) -> list[UUID]:
    """Make the deliveries of a test of one action, with a sample alert."""
    target = Target(action, orjson.loads(decrypt(settings.secret_keys, action.config)))
    sample = _sample(settings, now)
    ids = []
    kind = kind_for(ActionType(action.action_type))
    rendered = kind.render(target.config, sample)
    for recipient in kind.recipients(target.config):
        row = _row(action, sample.type, None, recipient, dict(rendered.content), rendered.warning, now)
        session.execute(insert(Delivery), [row])
        ids.append(row["id"])
    return ids


def _targets(session: Session, settings: Settings) -> list[Target]:
    targets = []
    for action in session.scalars(select(Action).where(Action.enabled).order_by(Action.created_at, Action.id)):
        try:
            targets.append(Target(action, orjson.loads(decrypt(settings.secret_keys, action.config))))
        except Undecryptable as error:
            # The others are still to be told. The deliveries of this one would have failed in the same way.
            log.error("an action cannot be read", action_id=str(action.id), error=str(error))
    return targets


def _wants(action: Action, notice: Notice) -> bool:
    serves = action.rule_id is None or action.rule_id == notice.rule_id
    severe = notice.severity.rank >= Severity(action.min_severity).rank
    return serves and severe and notice.type.removeprefix("alert.") in action.notify_on


def _deliveries(
    target: Target, notification: Notification, notice: Notice, told: set[tuple[UUID, UUID, str]], now: datetime
) -> list[JsonObject]:
    """Render once for the action, and address it to each receiver; a resolve goes to those told of the firing."""
    kind = kind_for(ActionType(target.action.action_type))
    recipients = kind.recipients(target.config)
    if notice.type == NotificationType.RESOLVED and "firing" in target.action.notify_on:
        recipients = [each for each in recipients if (notice.alert_id, target.action.id, each) in told]
    if not recipients:
        return []
    rendered = kind.render(target.config, notification)
    return [
        _row(target.action, notice.type, notice.alert_id, each, dict(rendered.content), rendered.warning, now)
        for each in recipients
    ]


def _row(
    action: Action,
    kind: NotificationType,
    alert_id: UUID | None,
    recipient: str,
    content: JsonObject,
    warning: str | None,
    now: datetime,
) -> JsonObject:
    return {
        "id": uuid4(),
        "alert_id": alert_id,
        "action_id": action.id,
        "action_type": action.action_type,
        "type": kind,
        "recipient": recipient,
        "status": DeliveryStatus.PENDING,
        "content": content,
        "warning": warning,
        "created_at": now,
        "next_attempt_at": now,
    }


def _told_of_firing(session: Session, notices: Sequence[Notice]) -> set[tuple[UUID, UUID, str]]:
    """Find who has, or will have, a delivery that tells of the firing of these alerts, as (alert, action, receiver)."""
    resolved = {each.alert_id for each in notices if each.type == NotificationType.RESOLVED}
    if not resolved:
        return set()
    rows = session.execute(
        select(Delivery.alert_id, Delivery.action_id, Delivery.recipient).where(
            Delivery.alert_id.in_(resolved), Delivery.type == NotificationType.FIRING
        )
    )
    return {(row[0], row[1], row[2]) for row in rows if row[0] is not None}


def _newest_logs(session: Session, alert_ids: set[UUID], settings: Settings) -> dict[UUID, list[JsonObject]]:
    """Find the newest logs that count towards each alert, in one statement."""
    newest = (
        select(Match.occurred_at, Match.log_id)
        .where(Match.alert_id == Alert.id)
        .order_by(Match.changed_at.desc(), Match.sid.desc())
        .limit(SHOWN_LOGS)
        .lateral("newest")
    )
    chosen = select(Alert.id.label("alert_id"), newest).join(newest, true()).where(Alert.id.in_(alert_ids)).subquery()
    query = select_logs().add_columns(chosen.c.alert_id)
    query = query.join(chosen, (Log.occurred_at == chosen.c.occurred_at) & (Log.id == chosen.c.log_id))
    found: dict[UUID, list[JsonObject]] = defaultdict(list)
    for row in session.execute(query.order_by(Log.changed_at.desc(), Log.sid.desc())):
        shown = log_json(row)
        if not settings.store_message_bodies and shown["log_type"] == "message":
            shown["text"] = None
        found[row.alert_id].append(_masked(shown, settings))
    return found


def _masked(shown: JsonObject, settings: Settings) -> JsonObject:
    """Make plain JSON of what is shown, with the numbers hidden where that is wanted."""
    plain: JsonObject = orjson.loads(orjson.dumps(shown))
    return mask_numbers(plain) if settings.mask_numbers else plain


def _sample(settings: Settings, now: datetime) -> Notification:
    """A made-up alert, to try an action with."""
    alert = Alert(
        id=UUID(int=0),
        rule_id=None,
        rule_name="Test of an action",
        severity=Severity.INFO,
        status="firing",
        group={"to_country": "GB"},
        summary="This is a test: 3 messages undelivered to GB",
        started_at=now,
        last_match_at=now,
        silenced=False,
        occurrences=3,
        value=None,
        sample_sids=["SM" + "0" * 32],
        late=False,
        error_code=30003,
    )
    return Notification(NotificationType.TEST, now, alert_json(alert), None, [], settings.public_base_url)
