"""The pages of deliveries: the list, one delivery with its attempts, and manual retries."""

from datetime import datetime, timedelta
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, Path, Request, Response
from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange
from app.api.console.access import PostedForm, SignedIn, Writer, viewer
from app.api.console.chip_names import name_chips
from app.api.console.filters import neighbours, read_filters
from app.api.console.flash import Flash
from app.api.console.links import link
from app.api.console.rendering import allow_frames, redirect, render
from app.api.console.routing import make_router
from app.api.deps import parse, settings_of
from app.api.lists import read_position
from app.api.schemas.deliveries import DeliveryFilters, RetryBody
from app.config import Settings
from app.database import session_scope
from app.enums import ActionType, HoldReason, Scope
from app.errors import NotFound
from app.models import Action
from app.services.names import names_of
from app.services.outbox import actions, deliveries, retry
from app.services.serializers import delivery_json
from app.utils.clock import rfc3339, utc_now
from app.utils.quantities import counted

router = make_router()
DeliveryId = Annotated[UUID, Path()]
PAGE_SIZE = 50
LABELS = {"action_id": "action", "alert_id": "alert", "since": "from", "until": "before"}
RETRIED_SPAN = timedelta(days=7)
"""How far back failed deliveries are retried together by default."""
TABS = (("", "All"), ("failed", "Failed"), ("pending", "Pending"), ("succeeded", "Succeeded"))

HOLD_TEXTS = {
    HoldReason.SILENCE: "its alert was silenced",
    HoldReason.ACKNOWLEDGEMENT: "its alert was acknowledged",
    HoldReason.DEPENDENCY: "another open alert explained its alert",
}
MAIL_HEADERS = {
    # A mail contains texts of strangers: it runs nothing, loads nothing, and cannot lead the page around it elsewhere.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
}
MAX_ACTIONS = 1000
RETRIED_SPANS = {"1h": "an hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
"""How far back failed deliveries can be retried together."""


class FailedDeliveries(NamedTuple):
    """Deliveries of one action that can be retried together."""

    action_id: UUID
    since: datetime
    number: int


@router.get("/deliveries")
def list_deliveries(request: Request, viewer: SignedIn) -> Response:
    """List deliveries, newest first."""
    filters = read_filters(DeliveryFilters, "/deliveries", request.query_params.multi_items(), utc_now(), LABELS)
    query = filters.query.model_copy(update={"cursor": request.query_params.get("cursor"), "limit": PAGE_SIZE})
    with session_scope() as session:
        position = read_position("deliveries", query, deliveries.SORT_KEY)
        page = deliveries.list_deliveries(session, query.to_filter(), position, PAGE_SIZE)
        chips = [
            chip
            for chip in name_chips(session, filters, LABELS, settings_of(request))
            if chip.name != "status" or chip.error
        ]
        names = names_of(session, {"alert_id": deliveries.alert_ids(page.items)}, settings_of(request))
        failed = _failed(session, query)
        by_action = (
            [] if query.action_id or not viewer.may(Scope.WRITE) else _failed_by_action(session, settings_of(request))
        )
        session.expunge_all()
    context = {
        "section": "deliveries",
        "deliveries": page.items,
        "names": names,
        "failed": failed,
        "by_action": by_action,
        "spans": RETRIED_SPANS,
        "chips": chips,
        "status": request.query_params.get("status", ""),
        "tabs": TABS,
        "beside": neighbours("deliveries", query, page, filters.address),
    }
    return render(request, viewer, "deliveries.html", context)


def _failed(session: Session, query: DeliveryFilters) -> FailedDeliveries | None:
    """Count the failed deliveries of the filtered action; None without exactly one action, or if none failed."""
    if len(query.action_id) != 1:
        return None
    action_id, since = UUID(query.action_id[0]), query.since or utc_now() - RETRIED_SPAN
    number = retry.count_failed(session, action_id, since)
    return FailedDeliveries(action_id, since, number) if number else None


def _failed_by_action(session: Session, settings: Settings) -> list[tuple[Action, str, int]]:
    """Count the failed deliveries of each action, with one of its recipients, the most first."""
    counts = retry.count_failed_by_action(session, utc_now() - RETRIED_SPAN)
    if not counts:
        return []
    found = [action for action in actions.list_actions(session, None, MAX_ACTIONS).items if action.id in counts]
    named = [(each, next(iter(actions.masked_recipients(each, settings)), ""), counts[each.id]) for each in found]
    return sorted(named, key=lambda each: -each[2])


@router.post("/deliveries/retry")
def retry_failed(request: Request, viewer: Writer, form: PostedForm) -> Response:
    """Retry all failed deliveries of an action."""
    given = parse(RetryBody, {"action_id": form.get("action_id"), "since": form.get("since")})
    with session_scope() as session:
        retried = {"retried": retry.retry_failed(session, given.action_id, given.since, utc_now())}
        asked = {"since": rfc3339(given.since)}
        change = AuditedChange(session, viewer.principal, f"action:{given.action_id}")
        change.record("delivery.retry_failed", asked | retried)
    number = counted(retried["retried"], "delivery is", "deliveries are")
    return redirect(request, link("/deliveries", action_id=given.action_id), Flash(f"{number} pending again."))


@router.get("/deliveries/{delivery_id}")
def show_delivery(request: Request, viewer: SignedIn, delivery_id: DeliveryId) -> Response:
    """Show one delivery with its attempts."""
    with session_scope() as session:
        delivery, attempts = deliveries.get(session, delivery_id), deliveries.attempts_of(session, delivery_id)
        known = {"alert_id": deliveries.alert_ids([delivery]), "action_id": [str(delivery.action_id)]}
        names = names_of(session, known, settings_of(request))
        session.expunge_all()
    held_by = HOLD_TEXTS[HoldReason(delivery.held_by)] if delivery.held_by else ""
    context = {
        "section": "deliveries",
        "delivery": delivery,
        "attempts": attempts,
        "held_by": held_by,
        "names": names,
    }
    return allow_frames(render(request, viewer, "delivery.html", context))


@router.get("/deliveries/{delivery_id}/mail", dependencies=[Depends(viewer)])
def show_mail(delivery_id: DeliveryId) -> Response:
    """Show a mail as its receiver sees it, for a frame of a page."""
    with session_scope() as session:
        delivery = deliveries.get(session, delivery_id)
        content = delivery.content
        if delivery.action_type != ActionType.EMAIL or "text" not in content:
            raise NotFound(f"delivery {delivery_id} is no mail")
    media_type, part = ("text/html", "html") if "html" in content else ("text/plain", "text")
    return Response(content[part], headers=MAIL_HEADERS, media_type=media_type)


@router.post("/deliveries/{delivery_id}/retry")
def retry_delivery(request: Request, viewer: Writer, delivery_id: DeliveryId) -> Response:
    """Retry a failed delivery."""
    with session_scope() as session:
        delivery = retry.retry(session, delivery_id, utc_now())
        AuditedChange(session, viewer.principal, f"delivery:{delivery_id}").record(
            "delivery.retry", delivery_json(delivery)
        )
    return redirect(request, f"/deliveries/{delivery_id}", Flash("It is pending again and goes out in a moment."))
