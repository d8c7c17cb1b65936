"""Logs broken down by country, sender, service or code."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from fastapi import Query, Response

from app.api.lists import shown_warnings
from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.breakdown import Breakdown, BreakdownQuery
from app.api.security import READ
from app.database import session_scope
from app.services.logs import breakdown, filter_warnings
from app.services.reports import comparison
from app.utils.calendar_edges import shift
from app.utils.clock import request_time

router = make_router("Stats", prefix="/api/breakdown")
DEFAULT_SPAN = timedelta(hours=24)


@router.get("", response_model=Breakdown, summary="Break logs down by a field", dependencies=READ)
def get_breakdown(query: Annotated[BreakdownQuery, Query()]) -> Response:
    """Count logs by the values of a field, with the share delivered, the delays and the cost.

    The default span is the last 24 hours, the longest 92 days. `delivered_share` is of final outbound messages,
    `p50_seconds` and `p95_seconds` of those that were first read within 10 minutes of their creation and seen to become
    final. The span before is as long as the span and ends where it begins. Figures of it are null where its messages
    were not completely read.
    """
    wanted = query.to_filter()
    until = wanted.until or request_time()
    wanted = replace(wanted, until=until, since=wanted.since or shift(until, -DEFAULT_SPAN))
    with session_scope() as session:
        found, _ = comparison.break_down(session, wanted, query.by)
        warned = shown_warnings(filter_warnings.list_warnings(session, wanted))
    items = [breakdown.to_json(each) for each in found]
    return json_response({"by": query.by, **breakdown.span_json(wanted), "items": items} | warned)
