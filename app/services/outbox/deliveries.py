"""Lists of deliveries, and one delivery with its attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, true
from sqlalchemy.orm import Session, aliased

from app.errors import NotFound
from app.models import Action, Attempt, Delivery
from app.services.paging import Page, Position, read_page
from app.services.serializers import attempt_json, delivery_json

SORT_KEY = (Delivery.created_at, Delivery.id)
MAX_OF_ALERT = 1000
"""The most deliveries that an alert shows: the newest."""


@dataclass(frozen=True)
class DeliveryFilter:
    """A selection of deliveries. An empty tuple or None matches all."""

    status: tuple[str, ...] = ()
    action_id: tuple[str, ...] = ()
    alert_id: tuple[str, ...] = ()
    since: datetime | None = None
    """Inclusive, by `created_at`."""
    until: datetime | None = None
    """Exclusive, by `created_at`."""


def list_deliveries(
    session: Session, delivery_filter: DeliveryFilter, position: Position | None, limit: int
) -> Page[Delivery]:
    """List deliveries, newest first."""
    query = select(Delivery)
    for column, values in (
        (Delivery.status, delivery_filter.status),
        (Delivery.action_id, delivery_filter.action_id),
        (Delivery.alert_id, delivery_filter.alert_id),
    ):
        if values:
            query = query.where(column.in_(values))
    if delivery_filter.since is not None:
        query = query.where(Delivery.created_at >= delivery_filter.since)
    if delivery_filter.until is not None:
        query = query.where(Delivery.created_at < delivery_filter.until)
    return read_page(session, query, SORT_KEY, position, limit)


def of_alert(session: Session, alert_id: UUID) -> Sequence[Delivery]:
    """List the deliveries of an alert, newest first."""
    query = select(Delivery).where(Delivery.alert_id == alert_id).order_by(Delivery.number.desc())
    return session.scalars(query.limit(MAX_OF_ALERT)).all()


def alert_ids(found: Sequence[Delivery]) -> list[str]:
    """List the ids of the alerts that deliveries are about."""
    return [str(each.alert_id) for each in found if each.alert_id is not None]


def get(session: Session, delivery_id: UUID) -> Delivery:
    """Return a delivery.

    Raises: NotFound.
    """
    delivery = session.get(Delivery, delivery_id)
    if delivery is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    return delivery


def attempts_of(session: Session, delivery_id: UUID) -> Sequence[Attempt]:
    """List the attempts of a delivery, oldest first."""
    return session.scalars(select(Attempt).where(Attempt.delivery_id == delivery_id).order_by(Attempt.id)).all()


def attempts_of_all(session: Session, delivery_ids: Sequence[UUID]) -> dict[UUID, list[Attempt]]:
    """List the attempts of several deliveries, by delivery, oldest first."""
    found: dict[UUID, list[Attempt]] = {}
    for attempt in session.scalars(select(Attempt).where(Attempt.delivery_id.in_(delivery_ids)).order_by(Attempt.id)):
        found.setdefault(attempt.delivery_id, []).append(attempt)
    return found


def last_attempted(session: Session, action_ids: Sequence[UUID]) -> dict[UUID, Delivery]:
    """Return the newest delivery of each action that was attempted, successfully or not."""
    newest = (
        select(Delivery)
        .where(Delivery.action_id == Action.id, Delivery.attempt_count > 0)
        .order_by(Delivery.created_at.desc())
        .limit(1)
        .lateral()
    )
    query = select(aliased(Delivery, newest)).select_from(Action).join(newest, true()).where(Action.id.in_(action_ids))
    return {delivery.action_id: delivery for delivery in session.scalars(query)}


def count_finished(session: Session, action_ids: Sequence[UUID], since: datetime) -> dict[UUID, tuple[int, int]]:
    """Count the deliveries of each action created since then: the successful ones, and all finished ones."""
    succeeded = func.count().filter(Delivery.status == "succeeded")
    query = (
        select(Delivery.action_id, succeeded, func.count())
        .where(Delivery.action_id.in_(action_ids), Delivery.created_at >= since)
        .where(Delivery.status.in_(("succeeded", "failed")))
        .group_by(Delivery.action_id)
    )
    return {action_id: (good, all_) for action_id, good, all_ in session.execute(query)}


def content_json(session: Session, delivery_id: UUID) -> dict[str, str | None]:
    """Serialize what a delivery sends. One in a digest keeps only its headline and summary.

    Raises: NotFound.
    """
    content = get(session, delivery_id).content
    return {
        "subject": content.get("subject") or content.get("title") or content.get("headline"),
        "text": content.get("text") or content.get("summary"),
        "html": content.get("html"),
        "body": content.get("body"),
    }


def detail_json(session: Session, delivery_id: UUID) -> dict[str, Any]:
    """Serialize one delivery with its attempts.

    Raises: NotFound.
    """
    attempts = [attempt_json(attempt) for attempt in attempts_of(session, delivery_id)]
    return delivery_json(get(session, delivery_id)) | {"attempts": attempts}
