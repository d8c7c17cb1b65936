"""Deliveries: what was sent to whom, every attempt at it, and another try by hand."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console.access import SignedIn, Writer
from app.api.console.filters import neighbours, read_filters
from app.api.console.rendering import Flash, redirect, render
from app.api.console.routing import make_router
from app.api.lists import read_position
from app.api.schemas.deliveries import DeliveryFilters
from app.database import session_scope
from app.services.outbox import deliveries, retry
from app.services.serializers import delivery_json
from app.utils.clock import utc_now

router = make_router()
DeliveryId = Annotated[UUID, Path()]
PAGE_SIZE = 50
LABELS = {"action_id": "action", "alert_id": "alert", "since": "from", "until": "before"}
TABS = (("", "All"), ("failed", "Failed"), ("pending", "Pending"), ("succeeded", "Succeeded"))


@router.get("/deliveries")
def list_deliveries(request: Request, viewer: SignedIn) -> Response:
    """List deliveries, newest first."""
    filters = read_filters(DeliveryFilters, "/deliveries", request.query_params.multi_items(), utc_now(), LABELS)
    query = filters.query.model_copy(update={"cursor": request.query_params.get("cursor"), "limit": PAGE_SIZE})
    with session_scope() as session:
        position = read_position("deliveries", query, deliveries.SORT_KEY)
        page = deliveries.list_deliveries(session, query.to_filter(), position, PAGE_SIZE)
        session.expunge_all()
    context = {
        "section": "deliveries",
        "deliveries": page.items,
        "chips": [chip for chip in filters.chips if chip.name != "status" or chip.error],
        "status": request.query_params.get("status", ""),
        "tabs": TABS,
        "beside": neighbours("deliveries", query, page, filters.address),
    }
    return render(request, viewer, "deliveries.html", context)


@router.get("/deliveries/{delivery_id}")
def show_delivery(request: Request, viewer: SignedIn, delivery_id: DeliveryId) -> Response:
    """Show one delivery with its attempts."""
    with session_scope() as session:
        delivery, attempts = deliveries.get(session, delivery_id), deliveries.attempts_of(session, delivery_id)
        session.expunge_all()
    context = {"section": "deliveries", "delivery": delivery, "attempts": attempts}
    return render(request, viewer, "delivery.html", context)


@router.post("/deliveries/{delivery_id}/retry")
def retry_delivery(request: Request, viewer: Writer, delivery_id: DeliveryId) -> Response:
    """Retry a failed delivery."""
    with session_scope() as session:
        delivery = retry.retry(session, delivery_id, utc_now())
        AuditedChange(session, viewer.principal, f"delivery:{delivery_id}").record(
            "delivery.retry", delivery_json(delivery)
        )
    return redirect(request, f"/deliveries/{delivery_id}", Flash("It is pending again and goes out in a moment."))
