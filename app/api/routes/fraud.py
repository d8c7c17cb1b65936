"""Outbound traffic that looks like pumping or toll fraud."""

from typing import Annotated

from fastapi import Query, Response

from app.api.deps import AppSettings
from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.common import SpanQuery
from app.api.schemas.fraud import FraudWatch
from app.api.security import READ
from app.database import session_scope
from app.services.fraud import watch, watch_json

router = make_router("Stats", prefix="/api/fraud")


@router.get("", response_model=FraudWatch, summary="Watch for fraud", dependencies=READ)
def watch_for_fraud(settings: AppSettings, query: Annotated[SpanQuery, Query()]) -> Response:
    """Find outbound messages and calls that look like pumping or toll fraud, with advice and a rule for each.

    The default span is the last 24 hours, the longest 7 days. Each country is compared with the same hours of the four
    weeks before. The limit of a `threshold` or `sum` rule is three times the highest usual hour, at least 10.
    With `MASK_NUMBERS=true`, prefixes of phone numbers are masked, and the rules count by country instead.
    """
    since, until = query.resolve(watch.SHOWN_SPAN)
    with session_scope() as session:
        found = watch.watch(session, since, until)
    return json_response(watch_json.to_json(found, masked=settings.mask_numbers))
