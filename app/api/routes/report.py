"""The report of a span."""

from typing import Annotated

from fastapi import Query, Response

from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.common import SpanQuery
from app.api.schemas.report import Report
from app.api.security import READ
from app.database import session_scope
from app.services.reports import report

router = make_router("Stats", prefix="/api/report")


@router.get("", response_model=Report, summary="Get a report", dependencies=READ)
def get_report(query: Annotated[SpanQuery, Query()]) -> Response:
    """Report on a span, compared with the span of the same length before.

    The default span is the last 7 days, the longest 92 days. Actions with a `report` send the same by mail or webhook.
    """
    since, until = query.resolve(report.SHOWN_SPAN)
    with session_scope() as session:
        return json_response(report.build(session, since, until))
