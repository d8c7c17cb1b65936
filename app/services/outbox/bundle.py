"""Bundles: firings for one action within a short time are sent as one message, the most severe first.

A bundled firing is an ordinary delivery with frozen content that waits. When the bundle ends, a single firing is sent
as it is, and several are folded into a digest. A firing whose alert resolves while it waits is removed. One whose alert
is withheld is held, and a new firing replaces it when that ends.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy import delete, func, insert, or_, select, tuple_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import metrics
from app.actions.base import Notification, Spread, make_alert
from app.actions.message_content import compose
from app.actions.registry import kind_for
from app.config import Settings
from app.enums import ActionType, DeliveryStatus, HoldReason, NotificationType, Severity
from app.models import Action, Delivery
from app.services.outbox.digest import MAX_ITEMS, digest_data
from app.services.outbox.rows import config_of, delivery_row
from app.utils.clock import rfc3339
from app.utils.json_types import JsonObject

MAX_CHAPTERS = 3
"""The most rules that a bundle's summary names."""
MAX_NAMES = 3
"""The most accounts that it names for each."""
log = structlog.get_logger()
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
        session.execute(delete(Delivery).where(Delivery.alert_id.in_(alert_ids), _BUNDLED, unsent))


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
    actions = select(Action).where(Action.id.in_(due)).with_for_update(skip_locked=True, key_share=True)
    return sum(_release(session, action, settings, withheld, now) for action in session.scalars(actions).all())


def _release(session: Session, action: Action, settings: Settings, withheld: Withheld, now: datetime) -> int:
    """Release the bundles of one action, whose row is locked."""
    query = select(Delivery).where(Delivery.action_id == action.id, _WAITS, Delivery.bundle_until <= now)
    due = session.scalars(query.order_by(Delivery.number).with_for_update()).all()
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
    made = _fold_isolated(session, action, deliveries, settings, now) if len(deliveries) > 1 else 0
    if not made:
        ids = [each.id for each in deliveries]
        session.execute(update(Delivery).where(Delivery.id.in_(ids)).values(bundle_until=None))
    return made


def _fold_isolated(
    session: Session, action: Action, deliveries: Sequence[Delivery], settings: Settings, now: datetime
) -> int:
    try:
        with session.begin_nested():
            return _fold(session, action, deliveries, settings, now)
    except SQLAlchemyError:
        raise
    except Exception:
        log.exception("the digest of a bundle cannot be made; each goes out by itself", action_id=str(action.id))
        return 0


def _fold(session: Session, action: Action, deliveries: Sequence[Delivery], settings: Settings, now: datetime) -> int:
    config = config_of(action, settings)
    kind = kind_for(ActionType(action.action_type))
    if not kind.takes_digests(config):
        return 0
    rendered = kind.render(config, bundle_notification(deliveries, settings, now))
    row = delivery_row(action, NotificationType.DIGEST, None, deliveries[0].recipient, rendered, now, uuid4())
    session.execute(insert(Delivery), [row | {"bundle_item": {}}])
    folded: dict[str, Any] = {"status": DeliveryStatus.FOLDED, "digest_id": row["id"], "finished_at": now}
    waits_no_more = {"next_attempt_at": None, "bundle_until": None}
    ids = [each.id for each in deliveries]
    session.execute(update(Delivery).where(Delivery.id.in_(ids)).values(folded | waits_no_more))
    metrics.count(session, {metrics.DELIVERIES_BUNDLED.key(action_type=action.action_type): len(ids)})
    return 1


def bundle_notification(deliveries: Sequence[Delivery], settings: Settings, now: datetime) -> Notification:
    """Describe a bundle as one notification: the problems, most severe first, their accounts, and what they share."""
    worst_first = sorted(deliveries, key=_order)
    items = [each.bundle_item or {} for each in worst_first]
    names: dict[str, str | None] = {sid: name for item in items for sid, name in item["accounts"].items()}
    alert = make_alert(
        id=None,
        rule_name=_title(len(items), len(names)),
        severity=items[0]["severity"],
        summary=_story(items),
        started_at=min(item["started_at"] for item in items),
        last_match_at=rfc3339(max(each.created_at for each in deliveries)),
        occurrences=len(items),
    )
    shown = [_shown(each) for each in worst_first[:MAX_ITEMS]]
    since, until = (rfc3339(pick(each.created_at for each in deliveries)) for pick in (min, max))
    common = common_cause([item["finding"] for item in items])
    extra = {"accounts": list(names), "finding": common}
    return Notification(
        type=NotificationType.DIGEST,
        timestamp=now,
        alert=alert | {"finding": common},
        rule=None,
        logs=[],
        base_url=settings.public_base_url,
        advice=f"Begin with the first alert, it is the worst. {items[0]['next_step']}",
        spread=Spread(0, False, 0, 0, accounts=list(names)),
        account_names={sid: name for sid, name in names.items() if name},
        timezone=settings.notify_timezone,
        digest=digest_data(shown, len(items), since, until, settings) | extra,
    )


def _order(delivery: Delivery) -> tuple[int, int]:
    """The most severe first; among equals, the earliest."""
    return -Severity((delivery.bundle_item or {})["severity"]).rank, delivery.number


def _title(alerts: int, accounts: int) -> str:
    where = f" in {accounts} account{'' if accounts == 1 else 's'}" if accounts else ""
    return f"{alerts} alerts{where}"


def _story(items: Sequence[Mapping[str, Any]]) -> str:
    """Describe the problems and their accounts, rule by rule, the most severe first."""
    by_title: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for item in items:
        by_title[_name_of(item)].append(item)
    chapters = [_chapter(title, alerts) for title, alerts in list(by_title.items())[:MAX_CHAPTERS]]
    more = len(by_title) - MAX_CHAPTERS
    return "; ".join(chapters + ([f"and {more} more rule{'' if more == 1 else 's'}"] if more > 0 else []))


def _chapter(title: str, alerts: Sequence[Mapping[str, Any]]) -> str:
    names = list({sid: name or sid for item in alerts for sid, name in item["accounts"].items()}.values())
    more = len(names) - MAX_NAMES
    where = [*names[:MAX_NAMES], *([f"{more} more"] if more > 0 else [])]
    facts = ([f"{len(alerts)} alerts"] if len(alerts) > 1 else []) + where
    return f"{title} ({', '.join(facts)})" if facts else title


def _name_of(item: Mapping[str, Any]) -> str:
    """Return the name of an alert's rule: before it stands that the alert fires, as all in a bundle do."""
    name: str = item["headline"].partition(": ")[2]
    return name


def common_cause(findings: Sequence[str | None]) -> str | None:
    """Return the finding that most alerts share, if at least two have the same. Pure."""
    counts = {finding: findings.count(finding) for finding in findings if finding}
    finding = max(counts, key=lambda each: counts[each], default=None)
    if finding is None or counts[finding] < 2:
        return None
    all_share = counts[finding] == len(findings)
    which = f"all {len(findings)} alerts" if all_share else f"{counts[finding]} of the {len(findings)} alerts"
    return f"Most logs of {which} have this in common: {finding}."


def _with_names(summary: str, accounts: Mapping[str, str | None]) -> str:
    """Name the accounts in a summary that have a name."""
    for sid, name in accounts.items():
        summary = summary.replace(f"account {sid}", name or f"account {sid}")
    return summary


def _shown(delivery: Delivery) -> JsonObject:
    item: Mapping[str, Any] = delivery.bundle_item or {}
    return {
        "delivery_id": str(delivery.id),
        "alert_id": None if delivery.alert_id is None else str(delivery.alert_id),
        "type": delivery.type,
        "severity": item["severity"],
        "created_at": rfc3339(delivery.created_at),
        "headline": _name_of(item),
        "summary": _with_names(item["summary"], item["accounts"]),
        "link": item["link"],
    }
