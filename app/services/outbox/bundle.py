"""Bundles: firings for one action within a short time are sent as one message, the most severe first.

A bundled firing is an ordinary delivery with frozen content that waits. When the bundle ends, a single firing is sent
as it is, and several are folded into a digest. A firing whose alert resolves while it waits is removed. One whose alert
is withheld is held, and a new firing replaces it when that ends.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from app import metrics
from app.actions.base import Notification
from app.actions.message_content import compose
from app.actions.registry import kind_for
from app.config import Settings
from app.enums import ActionType, DeliveryStatus, HoldReason
from app.models import Action, Delivery
from app.services.outbox import digest
from app.services.outbox.action_config import config_of
from app.services.outbox.bundle_text import bundle_notification
from app.utils.json_types import JsonObject

Withheld = Callable[[Session, Collection[UUID], datetime], Mapping[UUID, HoldReason]]
"""Returns the alerts that are withheld now, with the reason."""
_BUNDLED = (Delivery.status == DeliveryStatus.PENDING) & Delivery.bundle_until.is_not(None)
_WAITS = _BUNDLED & Delivery.held_by.is_(None)
_HELD = _BUNDLED & Delivery.held_by.is_not(None)


def open_bundles(session: Session, now: datetime) -> dict[UUID, datetime]:
    """Find the actions with an open bundle, and when it ends."""
    query = select(Delivery.action_id, func.max(Delivery.bundle_until)).where(_WAITS, Delivery.bundle_until > now)
    rows = session.execute(query.group_by(Delivery.action_id)).all()
    return {action_id: until for action_id, until in rows if until is not None}


def remove_firings(session: Session, alert_ids: Collection[UUID], now: datetime) -> None:
    """Remove the waiting and held firings of resolved alerts: nobody is notified of them."""
    if alert_ids:
        unsent = or_(Delivery.bundle_until > now, _HELD)
        found = select(Delivery.id).where(Delivery.alert_id.in_(alert_ids), _BUNDLED, unsent)
        session.execute(delete(Delivery).where(Delivery.id.in_(found.order_by(Delivery.number).with_for_update())))


def find_held(session: Session) -> dict[UUID, set[UUID]]:
    """Find the actions for which firings are held, by alert. Escalating actions wait again instead."""
    held: dict[UUID, set[UUID]] = defaultdict(set)
    query = select(Delivery.alert_id, Delivery.action_id).join(Action, Action.id == Delivery.action_id)
    for alert_id, action_id in session.execute(query.where(_HELD, Action.after_minutes == 0)):
        if alert_id is not None:
            held[alert_id].add(action_id)
    return held


def replace_held(session: Session, firings: Collection[tuple[UUID, UUID]]) -> None:
    """Delete held firings: new ones replace them.

    Args:    firings: alerts, each with an action.
    """
    if firings:
        held = _HELD & tuple_(Delivery.alert_id, Delivery.action_id).in_(firings)
        session.execute(delete(Delivery).where(held))


def bundle_item(notification: Notification, finding: str | None) -> JsonObject:
    """Return the part of a notification that a digest of its bundle shows.

    Args:    finding: what stands out in its logs, in the same words for all alerts that share it.
    """
    message = compose(notification)
    named = notification.alert["group"].get("account_sid")
    accounts = [named] if named in notification.account_names or str(named).startswith("AC") else []
    sids = accounts or list(notification.spread.accounts if notification.spread else ())
    return {
        "headline": message.headline,
        "summary": message.summary,
        "severity": message.severity.value,
        "link": message.link,
        "next_step": message.next_step,
        "started_at": notification.alert["started_at"],
        "accounts": {sid: notification.account_names.get(sid) for sid in sids},
        "finding": finding,
    }


def release_due(session: Session, settings: Settings, withheld: Withheld, now: datetime) -> int:
    """Release the bundles that have ended, and hold withheld firings; return how many digests were created."""
    due = session.scalars(select(Delivery.action_id).where(_WAITS, Delivery.bundle_until <= now).distinct()).all()
    if not due:
        return 0
    locked = select(Action).where(Action.id.in_(due)).with_for_update(skip_locked=True, key_share=True)
    actions = {action.id: action for action in session.scalars(locked)}
    # All at once, as `remove_firings` does: action by action would be another order.
    query = select(Delivery).where(Delivery.action_id.in_(actions), _WAITS, Delivery.bundle_until <= now)
    firings: dict[UUID, list[Delivery]] = defaultdict(list)
    for each in session.scalars(query.order_by(Delivery.number).with_for_update()):
        firings[each.action_id].append(each)
    return sum(_release_of(session, actions[each], firings[each], settings, withheld, now) for each in firings)


def _release_of(
    session: Session, action: Action, due: Sequence[Delivery], settings: Settings, withheld: Withheld, now: datetime
) -> int:
    """Release the ended bundles of one action; hold firings that are withheld."""
    reasons = withheld(session, {each.alert_id for each in due if each.alert_id}, now)
    bundles: dict[tuple[str, datetime | None], list[Delivery]] = defaultdict(list)
    for each in due:
        each.held_by = reasons.get(each.alert_id) if each.alert_id else None
        if each.held_by is None:
            bundles[each.recipient, each.bundle_until].append(each)
    return sum(_release_one(session, action, deliveries, settings, now) for deliveries in bundles.values())


def _release_one(
    session: Session, action: Action, deliveries: Sequence[Delivery], settings: Settings, now: datetime
) -> int:
    """Fold a bundle into a digest. A single firing, or one that no digest can contain, is sent by itself."""
    made = 0
    if len(deliveries) > 1:
        fold = partial(_fold, session, action, deliveries, settings, now)
        made = digest.in_isolation(
            session, action, fold, "the digest of a bundle failed; its firings are sent separately"
        )
    if not made:
        ids = [each.id for each in deliveries]
        session.execute(update(Delivery).where(Delivery.id.in_(ids)).values(bundle_until=None))
    return made


def _fold(session: Session, action: Action, deliveries: Sequence[Delivery], settings: Settings, now: datetime) -> int:
    config = config_of(action, settings)
    kind = kind_for(ActionType(action.action_type))
    if not kind.takes_digests(config):
        return 0
    rendered = kind.render(config, bundle_notification(deliveries, settings, now))
    digest.insert_digest(session, action, deliveries[0].recipient, rendered, deliveries, now, of_bundle=True)
    metrics.count(session, {metrics.DELIVERIES_BUNDLED.key(action_type=action.action_type): len(deliveries)})
    return 1
