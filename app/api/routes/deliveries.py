"""Deliveries: list, show with attempts, retry."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange
from app.api.deps import JsonBody, parse
from app.api.idempotency import Idempotent
from app.api.lists import page_response, read_position
from app.api.openapi import ERRORS, body, error_response
from app.api.responses import json_response, resource_response
from app.api.routing import make_router
from app.api.schemas.common import EXAMPLE_ID
from app.api.schemas.deliveries import (
    DeliveryContent,
    DeliveryDetail,
    DeliveryFilters,
    DeliveryPage,
    Retried,
    RetryBody,
)
from app.api.security import READ, Writer
from app.database import session_scope
from app.services.outbox import deliveries, retry
from app.services.serializers import delivery_json
from app.utils.clock import rfc3339, utc_now

router = make_router("Deliveries", prefix="/api/deliveries")
DeliveryId = Annotated[UUID, Path(description="The delivery's id.", examples=[EXAMPLE_ID])]


@router.get("", response_model=DeliveryPage, summary="List deliveries", dependencies=READ)
def list_deliveries(query: Annotated[DeliveryFilters, Query()]) -> Response:
    """List deliveries, newest first."""
    with session_scope() as session:
        position = read_position("deliveries", query, deliveries.SORT_KEY)
        page = deliveries.list_deliveries(session, query.to_filter(), position, query.limit)
        return page_response("deliveries", query, [delivery_json(delivery) for delivery in page.items], page.older)


@router.get("/{delivery_id}", response_model=DeliveryDetail, summary="Get a delivery", dependencies=READ)
def get_delivery(delivery_id: DeliveryId) -> Response:
    """Show a delivery with its attempts."""
    with session_scope() as session:
        return resource_response(deliveries.detail_json(session, delivery_id))


@router.get(
    "/{delivery_id}/content",
    response_model=DeliveryContent,
    summary="Get what a delivery sends",
    dependencies=READ,
)
def get_content(delivery_id: DeliveryId) -> Response:
    """Show the mail, payload or text of a delivery, which is fixed at its creation: every attempt sends the same."""
    with session_scope() as session:
        return json_response(deliveries.content_json(session, delivery_id))


@router.post(
    "/retry",
    response_model=Retried,
    responses={404: error_response(404, *ERRORS[404])},
    summary="Retry the failed deliveries of an action",
    openapi_extra=body(RetryBody),
)
def retry_deliveries(caller: Writer, sent: JsonBody, once: Idempotent) -> Response:
    """Retry the failed deliveries of an action that were created since a time and are of its present type.

    They keep their ids; folded ones wait for the next digest. A disabled action sends nothing: enable it first (409).
    """
    given = parse(RetryBody, sent)

    def effect(session: Session) -> Response:
        retried = {"retried": retry.retry_failed(session, given.action_id, given.since, utc_now())}
        asked = {"since": rfc3339(given.since)}
        AuditedChange(session, caller, f"action:{given.action_id}").record("delivery.retry_failed", asked | retried)
        return json_response(retried)

    return once.run(caller.id, effect)


@router.post("/{delivery_id}/retry", response_model=DeliveryDetail, summary="Retry a failed delivery")
def retry_delivery(caller: Writer, delivery_id: DeliveryId, once: Idempotent) -> Response:
    """Restart the retry schedule of a failed delivery. It keeps its id."""

    def effect(session: Session) -> Response:
        delivery = retry.retry(session, delivery_id, utc_now())
        AuditedChange(session, caller, f"delivery:{delivery_id}").record("delivery.retry", delivery_json(delivery))
        return json_response(deliveries.detail_json(session, delivery_id))

    return once.run(caller.id, effect)
