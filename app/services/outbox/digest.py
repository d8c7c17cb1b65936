"""The cap on notifications: those that come too fast for one action are folded into a digest. Nothing is dropped.

A folded delivery is an ordinary row. A digest is a separate delivery, created once the folded ones have waited a
little. It contains them, so each of them is sent exactly once.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.actions.base import ActionKind, Notification, Rendered, make_alert
from app.actions.message_content import compose
from app.actions.registry import kind_for
from app.config import Settings
from app.enums import ActionType, DeliveryStatus, NotificationType, Severity
from app.models import Action, Delivery
from app.services.outbox.action_config import config_of
from app.services.outbox.rows import delivery_row
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject
from app.utils.quantities import counted

MAX_NOTIFICATIONS = 20
WINDOW = timedelta(minutes=10)
FIRST_WAIT = timedelta(minutes=1)
"""How long the first folded delivery waits for more. The action's next digest comes at least `WINDOW` later."""
MAX_ITEMS = 20

log = structlog.get_logger()


def count_recent(session: Session, now: datetime) -> dict[UUID, int]:
    """Count the unfolded notifications of each action in the window that ends now.

    One for several receivers counts once.
    """
    counts = session.execute(
        text(
            "SELECT action_id, count(DISTINCT (alert_id, type, created_at)) FROM deliveries"
            " WHERE created_at > :since AND status <> 'folded'"
            " AND bundle_until IS NULL AND type NOT IN ('alert.digest', 'action.test', 'report')"
            " GROUP BY action_id"
        ),
        {"since": now - WINDOW},
    )
    return {row[0]: row[1] for row in counts}


def folded_content(notification: Notification) -> dict[str, str]:
    """Return the part of a notification that a digest shows."""
    message = compose(notification)
    return {
        "headline": message.headline,
        "summary": message.summary,
        "severity": message.severity.value,
        "link": message.link,
    }


FOLDED_CONTENT = frozenset({"headline", "summary", "severity", "link"})
"""The names of that part."""


def is_folded(content: Mapping[str, Any]) -> bool:
    """Return whether a delivery kept only its item for a digest: it cannot be sent by itself."""
    return content.keys() == FOLDED_CONTENT


def make_due(session: Session, settings: Settings, now: datetime) -> int:
    """Create the due digests, one for each action and receiver; return how many."""
    waiting = session.execute(
        text(
            "SELECT action_id, min(created_at) AS since FROM deliveries"
            " WHERE status = 'folded' AND digest_id IS NULL GROUP BY action_id"
        )
    ).all()
    due = [row.action_id for row in waiting if row.since <= now - FIRST_WAIT]
    if not due:
        return 0
    actions = select(Action).where(Action.id.in_(due), Action.enabled).with_for_update(skip_locked=True, key_share=True)
    failure = "the digest of an action failed; its notifications wait"
    return sum(
        in_isolation(session, action, partial(_make, session, action, settings, now), failure)
        for action in session.scalars(actions).all()
    )


def in_isolation(session: Session, action: Action, make: Callable[[], int], failure: str) -> int:
    """Create digests of one action; return how many. If that fails, log `failure`: other actions are not affected."""
    try:
        with session.begin_nested():
            return make()
    except SQLAlchemyError:
        raise
    except Exception:
        log.exception(failure, action_id=str(action.id))
        return 0


def _make(session: Session, action: Action, settings: Settings, now: datetime) -> int:
    """Create the digests of one action, whose row is locked. If it accepts none, release the folded deliveries."""
    config = config_of(action, settings)
    kind = kind_for(ActionType(action.action_type))
    if not kind.takes_digests(config):
        _unfold(session, action, kind, config, settings, now)
        return 0
    latest = select(Delivery.id).where(
        Delivery.action_id == action.id,
        Delivery.type == NotificationType.DIGEST,
        Delivery.created_at > now - WINDOW,
        Delivery.bundle_item.is_(None),
    )
    if session.scalar(latest.limit(1)) is not None:
        return 0
    by_recipient: dict[str, list[Delivery]] = defaultdict(list)
    for each in _folded(session, action):
        by_recipient[each.recipient].append(each)
    for recipient, deliveries in by_recipient.items():
        rendered = kind.render(config, _notification(deliveries, settings, now))
        insert_digest(session, action, recipient, rendered, deliveries, now)
    return len(by_recipient)


def insert_digest(
    session: Session,
    action: Action,
    recipient: str,
    rendered: Rendered,
    deliveries: Sequence[Delivery],
    now: datetime,
    *,
    of_bundle: bool = False,
) -> None:
    """Insert the delivery of a digest, and fold the deliveries that it contains."""
    row = delivery_row(action, NotificationType.DIGEST, None, recipient, rendered, now)
    session.execute(insert(Delivery), [row | {"bundle_item": {} if of_bundle else None}])
    folded = {
        "status": DeliveryStatus.FOLDED,
        "digest_id": row["id"],
        "finished_at": now,
        "next_attempt_at": None,
        "bundle_until": None,
    }
    session.execute(update(Delivery).where(Delivery.id.in_([each.id for each in deliveries])).values(folded))


def _folded(session: Session, action: Action) -> Sequence[Delivery]:
    return session.scalars(
        select(Delivery)
        .where(Delivery.action_id == action.id, Delivery.status == DeliveryStatus.FOLDED, Delivery.digest_id.is_(None))
        .order_by(Delivery.number)
        .with_for_update()
    ).all()


def _unfold(
    session: Session, action: Action, kind: ActionKind, config: JsonObject, settings: Settings, now: datetime
) -> None:
    """Unfold the notifications of one action: it was edited meanwhile, or GiftPulse was upgraded."""
    for each in _folded(session, action):
        notification = _notification([each], settings, now)
        alert = notification.alert | {
            "id": None if each.alert_id is None else str(each.alert_id),
            "rule_name": each.content["headline"].partition(": ")[2],
            "summary": each.content["summary"],
        }
        rendered = kind.render(
            config, replace(notification, type=NotificationType(each.type), alert=alert, digest=None)
        )
        each.content, each.warning = dict(rendered.content), rendered.warning
        each.status, each.next_attempt_at = DeliveryStatus.PENDING, now


def _notification(deliveries: Sequence[Delivery], settings: Settings, now: datetime) -> Notification:
    """Describe folded notifications, most severe first, in the shape of an alert: every channel can show that."""
    since, until = deliveries[0].created_at, deliveries[-1].created_at
    by_severity = sorted(deliveries, key=lambda each: -Severity(each.content["severity"]).rank)
    items = [_item(each) for each in by_severity[:MAX_ITEMS]]
    minutes = max(round((now - since).total_seconds() / 60), 1)
    count = len(deliveries)
    summary = f"{counted(count, 'more notification')} in {counted(minutes, 'minute')}, sent as one"
    alert = make_alert(
        id=None,
        rule_name="Too many alerts at once",
        severity=by_severity[0].content["severity"],
        summary=summary,
        started_at=rfc3339(since),
        last_match_at=rfc3339(until),
        occurrences=count,
    )
    return Notification(
        type=NotificationType.DIGEST,
        timestamp=now,
        alert=alert,
        rule=None,
        logs=[],
        base_url=settings.public_base_url,
        timezone=settings.notify_timezone,
        digest=digest_data(items, count, rfc3339(since), rfc3339(until), settings),
    )


def digest_data(items: Sequence[JsonObject], count: int, since: str, until: str, settings: Settings) -> JsonObject:
    """Build what every digest shows of the notifications that it contains."""
    return {
        "count": count,
        "since": since,
        "until": until,
        "items": list(items),
        "more": count - len(items),
        "link": f"{settings.public_base_url}/alerts",
    }


def _item(delivery: Delivery) -> JsonObject:
    """Build what a digest shows of one folded notification."""
    return {
        "delivery_id": str(delivery.id),
        "alert_id": None if delivery.alert_id is None else str(delivery.alert_id),
        "type": delivery.type,
        "severity": delivery.content["severity"],
        "created_at": rfc3339(delivery.created_at),
        "headline": delivery.content["headline"],
        "summary": delivery.content["summary"],
        "link": delivery.content["link"],
    }
