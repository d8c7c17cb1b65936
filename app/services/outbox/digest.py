"""The storm cap: what comes too fast for one action is folded, and told in a digest. Nothing is dropped.

A folded delivery is a row like any other. A digest is a delivery of its own, made once the folded ones have waited a
little, and it takes them along: so each of them is told exactly once.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.actions.base import ActionKind, Notification, make_alert
from app.actions.message_content import compose
from app.actions.registry import kind_for
from app.config import Settings
from app.enums import ActionType, DeliveryStatus, NotificationType, Severity
from app.models import Action, Delivery
from app.services.outbox.rows import config_of, delivery_row
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

MAX_NOTIFICATIONS = 20
WINDOW = timedelta(minutes=10)
FIRST_WAIT = timedelta(minutes=1)
"""What is folded waits so long for more to come; a next digest of the action comes no sooner than `WINDOW` after it."""
MAX_ITEMS = 20

log = structlog.get_logger()


def count_recent(session: Session, now: datetime) -> dict[UUID, int]:
    """Count the notifications of each action that go out by themselves, over the window that ends now.

    One that goes to several receivers counts once.
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
    """Keep of a notification what a digest will say of it."""
    message = compose(notification)
    return {
        "headline": message.headline,
        "summary": message.summary,
        "severity": message.severity.value,
        "link": message.link,
    }


FOLDED_CONTENT = frozenset({"headline", "summary", "severity", "link"})
"""The names in what is kept for a digest."""


def is_folded(content: Mapping[str, Any]) -> bool:
    """Say whether what was kept of a notification is for a digest: it cannot go out by itself."""
    return content.keys() == FOLDED_CONTENT


def make_due(session: Session, settings: Settings, now: datetime) -> int:
    """Make the digests that are due: one for each action and receiver; return how many."""
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
    return sum(_make_isolated(session, action, settings, now) for action in session.scalars(actions).all())


def _make_isolated(session: Session, action: Action, settings: Settings, now: datetime) -> int:
    """Make the digests of one action; where that fails they are tried again at the next tick, and the others go on."""
    try:
        with session.begin_nested():
            return _make(session, action, settings, now)
    except SQLAlchemyError:
        raise
    except Exception:
        log.exception("the digest of an action cannot be made; what it is to tell of waits", action_id=str(action.id))
        return 0


def _make(session: Session, action: Action, settings: Settings, now: datetime) -> int:
    """Make the digests of one action, whose row is locked; where it takes none, release what waits for one."""
    config = config_of(action, settings)
    kind = kind_for(ActionType(action.action_type))
    if not kind.takes_digests(config):
        _release(session, action, kind, config, settings, now)
        return 0
    latest = select(Delivery.id).where(
        Delivery.action_id == action.id,
        Delivery.type == NotificationType.DIGEST,
        Delivery.created_at > now - WINDOW,
        Delivery.bundle_item.is_(None),
    )
    if session.scalar(latest.limit(1)) is not None:
        return 0
    by_receiver: dict[str, list[Delivery]] = defaultdict(list)
    for each in _folded(session, action):
        by_receiver[each.recipient].append(each)
    for recipient, deliveries in by_receiver.items():
        rendered = kind.render(config, _notification(deliveries, settings, now))
        row = delivery_row(action, NotificationType.DIGEST, None, recipient, rendered, now, uuid4())
        session.execute(insert(Delivery), [row])
        ids = [each.id for each in deliveries]
        session.execute(update(Delivery).where(Delivery.id.in_(ids)).values(digest_id=row["id"], finished_at=now))
    return len(by_receiver)


def _folded(session: Session, action: Action) -> Sequence[Delivery]:
    return session.scalars(
        select(Delivery)
        .where(Delivery.action_id == action.id, Delivery.status == DeliveryStatus.FOLDED, Delivery.digest_id.is_(None))
        .order_by(Delivery.number)
        .with_for_update()
    ).all()


def _release(
    session: Session, action: Action, kind: ActionKind, config: JsonObject, settings: Settings, now: datetime
) -> None:
    """Let folded notifications of one action go out each by itself: the action was edited since, or an upgrade was."""
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
    """Tell of folded notifications, the worst first, in the shape of an alert, so that every channel can show it."""
    since, until = deliveries[0].created_at, deliveries[-1].created_at
    by_severity = sorted(deliveries, key=lambda each: -Severity(each.content["severity"]).rank)
    items = [_item(each) for each in by_severity[:MAX_ITEMS]]
    minutes = max(round((now - since).total_seconds() / 60), 1)
    number = len(deliveries)
    noun = "notification" if number == 1 else "notifications"
    summary = f"{number} more {noun} in {minutes} minute{'' if minutes == 1 else 's'}, told in one"
    alert = make_alert(
        id=None,
        rule_name="Too many alerts at once",
        severity=by_severity[0].content["severity"],
        summary=summary,
        started_at=rfc3339(since),
        last_match_at=rfc3339(until),
        occurrences=number,
    )
    return Notification(
        type=NotificationType.DIGEST,
        timestamp=now,
        alert=alert,
        rule=None,
        logs=[],
        base_url=settings.public_base_url,
        timezone=settings.notify_timezone,
        digest=digest_data(items, number, rfc3339(since), rfc3339(until), settings),
    )


def digest_data(items: Sequence[JsonObject], count: int, since: str, until: str, settings: Settings) -> JsonObject:
    """Build what every digest says of the notifications that it stands for."""
    return {
        "count": count,
        "since": since,
        "until": until,
        "items": list(items),
        "more": count - len(items),
        "link": f"{settings.public_base_url}/alerts",
    }


def _item(each: Delivery) -> JsonObject:
    """Say what a digest says of one folded notification."""
    return {
        "delivery_id": str(each.id),
        "alert_id": None if each.alert_id is None else str(each.alert_id),
        "type": each.type,
        "severity": each.content["severity"],
        "created_at": rfc3339(each.created_at),
        "headline": each.content["headline"],
        "summary": each.content["summary"],
        "link": each.content["link"],
    }
