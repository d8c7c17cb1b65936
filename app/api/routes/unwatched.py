"""Error codes that occurred and that no enabled rule would match."""

from typing import Annotated

from fastapi import Query, Response

from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.common import SpanQuery
from app.api.schemas.unwatched import Unwatched
from app.api.security import READ
from app.database import session_scope
from app.services import unwatched

router = make_router("Rules", prefix="/api/unwatched")


@router.get("", response_model=Unwatched, summary="List unwatched error codes", dependencies=READ)
def list_unwatched(query: Annotated[SpanQuery, Query()]) -> Response:
    """List error codes that occurred and that no enabled rule would match, with the rule pack that would.

    The default span is the last 7 days. A code is watched if any log with it matches a rule; rules that look for
    silence, age or amounts (`no_data`, `stuck`, `sum`) do not count.
    """
    since, until = query.resolve(unwatched.SHOWN_SPAN)
    with session_scope() as session:
        found = unwatched.find_unwatched(session, since, until)
    return json_response({"items": [unwatched.to_json(item) for item in found]})
