"""Deliveries: what was sent, every attempt at it, and another try by hand."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.api.answers import JsonObject, json_answer, resource
from app.api.changes import Change
from app.api.idempotency import OnlyOnce
from app.api.lists import answer_page, narrowed
from app.api.routing import make_router
from app.api.schemas.common import EXAMPLE_ID
from app.api.schemas.deliveries import DeliveryDetail, DeliveryFilters, DeliveryPage
from app.api.security import READ, Writer
from app.database import session_scope
from app.errors import NotFound
from app.models import Attempt, Delivery
from app.services.outbox import retry
from app.services.snapshots import attempt_json, delivery_json
from app.utils.clock import utc_now

router = make_router("Deliveries", prefix="/api/deliveries")
DeliveryId = Annotated[UUID, Path(description="The delivery's id.", examples=[EXAMPLE_ID])]
PLACE = (Delivery.created_at, Delivery.id)


def detail(session: Session, delivery_id: UUID) -> JsonObject:
    """Show one delivery with its attempts.

    Raises: NotFound.
    """
    delivery = session.get(Delivery, delivery_id)
    if delivery is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    attempts = session.scalars(select(Attempt).where(Attempt.delivery_id == delivery_id).order_by(Attempt.id))
    return delivery_json(delivery) | {"attempts": [attempt_json(attempt) for attempt in attempts]}


@router.get("", response_model=DeliveryPage, summary="List deliveries", dependencies=READ)
def list_deliveries(query: Annotated[DeliveryFilters, Query()]) -> Response:
    """List deliveries, newest first."""
    wanted = {Delivery.status: query.status, Delivery.action_id: query.action_id, Delivery.alert_id: query.alert_id}
    statement = select(Delivery.id, Delivery.created_at, Delivery)
    statement = narrowed(statement, wanted, Delivery.created_at, query.since, query.until)
    with session_scope() as session:
        return answer_page(session, "deliveries", statement, PLACE, query, lambda row: delivery_json(row.Delivery))


@router.get("/{delivery_id}", response_model=DeliveryDetail, summary="Read one delivery", dependencies=READ)
def get_delivery(delivery_id: DeliveryId) -> Response:
    """Show a delivery with its attempts."""
    with session_scope() as session:
        return resource(detail(session, delivery_id))


@router.post("/{delivery_id}/retry", response_model=DeliveryDetail, summary="Try a failed delivery again")
def retry_delivery(caller: Writer, delivery_id: DeliveryId, once: OnlyOnce) -> Response:
    """Begin the schedule of a failed delivery anew, under its one id."""

    def effect(session: Session) -> Response:
        delivery = retry.retry(session, delivery_id, utc_now())
        Change(session, caller, f"delivery:{delivery_id}").made("delivery.retry", delivery_json(delivery))
        return json_answer(detail(session, delivery_id))

    return once.run(caller.id, effect)
