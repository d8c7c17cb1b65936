"""Lists of deliveries, and one delivery with its attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import Attempt, Delivery
from app.services.paging import Page, Position, read_page
from app.services.serializers import attempt_json, delivery_json

SORT_KEY = (Delivery.created_at, Delivery.id)
MAX_OF_ALERT = 1000
"""An alert shows its newest deliveries, at most so many."""


@dataclass(frozen=True)
class DeliveryFilter:
    """Which deliveries; an empty tuple and None mean no filter."""

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


def detail_json(session: Session, delivery_id: UUID) -> dict[str, Any]:
    """Serialize one delivery with its attempts.

    Raises: NotFound.
    """
    attempts = [attempt_json(attempt) for attempt in attempts_of(session, delivery_id)]
    return delivery_json(get(session, delivery_id)) | {"attempts": attempts}
