"""Logs: a list with filters, and one log with its history."""

from typing import Annotated

import orjson
from fastapi import Path, Request, Response

from app.api.console.access import SignedIn
from app.api.console.filters import neighbours, read_filters
from app.api.console.rendering import render
from app.api.console.routing import make_router
from app.api.lists import read_position
from app.api.schemas.common import SID
from app.api.schemas.logs import LogFilters
from app.database import session_scope
from app.enums import LogType
from app.services.ingest import details
from app.services.logs import search
from app.services.logs.raw import raw_of
from app.services.twilio.error_codes import describe
from app.utils.clock import utc_now

router = make_router()
PAGE_SIZE = 50
LABELS = {
    "log_type": "type",
    "error_code": "code",
    "to_country": "to country",
    "account_sid": "account",
    "messaging_service_sid": "service",
    "q": "contains",
    "since": "from",
    "until": "before",
}
Sid = Annotated[str, Path(pattern=SID)]


@router.get("/logs")
def list_logs(request: Request, viewer: SignedIn) -> Response:
    """List the logs that the filters of the address let through."""
    filters = read_filters(LogFilters, "/logs", request.query_params.multi_items(), utc_now(), LABELS)
    query = filters.query.model_copy(update={"cursor": request.query_params.get("cursor"), "limit": PAGE_SIZE})
    with session_scope() as session:
        position = read_position("logs", query, search.SORT_KEY)
        page = search.list_logs(session, query.to_filter(), position, PAGE_SIZE)
    context = {
        "section": "logs",
        "logs": page.items,
        "chips": filters.chips,
        "q": request.query_params.get("q", ""),
        "hidden": [(name, value) for name, value in request.query_params.multi_items() if name not in ("q", "cursor")],
        "beside": neighbours("logs", query, page, filters.address),
        "csv": "/api" + filters.address.replace("/logs", "/logs.csv", 1),
    }
    return render(request, viewer, "logs.html", context)


@router.get("/logs/{sid}")
def show_log(request: Request, viewer: SignedIn, sid: Sid) -> Response:
    """Show one log: its history, the alerts that it counts towards, and what is related to it."""
    with session_scope() as session:
        found = search.find_log(session, sid)
    if found.log_type == LogType.ERROR:
        details.complete(found.account_id, sid, request.app.state.settings)
    with session_scope() as session:
        row = search.find_log(session, sid)
        context = {
            "section": "logs",
            "log": row,
            "meaning": None if row.error_code is None else describe(row.error_code),
            "raw": orjson.dumps(
                raw_of(search.load_full(session, row), row.account_sid), option=orjson.OPT_INDENT_2
            ).decode(),
            "history": search.history(session, row.id, row.occurred_at),
            "alerts": search.alerts(session, row.id),
            "related": search.related(session, row),
        }
        session.expunge_all()
    return render(request, viewer, "log.html", context)
