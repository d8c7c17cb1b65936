"""Counts over time, for plots."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import Query, Response

from app.api.lists import shown_warnings
from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.logs import LogQuery
from app.api.schemas.stats import DeliveryStats, DeliveryStatsQuery, Stats, StatsQuery
from app.api.security import READ
from app.database import session_scope
from app.errors import FieldError, InvalidInput
from app.services.logs import filter_warnings, stats
from app.services.logs.search import LogFilter
from app.utils.calendar_edges import shift
from app.utils.clock import request_time, rfc3339

router = make_router("Stats", prefix="/api/stats")
DEFAULT_SPAN = timedelta(hours=24)
MAX_BUCKETS = 10_000


def _with_defaults(query: LogQuery, bucket: str, now: datetime) -> LogFilter:
    """Add the default span: the last 24 hours.

    Raises: InvalidInput if the span has too many buckets.
    """
    wanted = query.to_filter()
    until = wanted.until or now
    since = wanted.since or shift(until, -DEFAULT_SPAN)
    if (until - since) / stats.BUCKETS[bucket] > MAX_BUCKETS:
        message = f"makes more than {MAX_BUCKETS} buckets up to `until`: use a later time or a longer bucket"
        raise InvalidInput([FieldError("since", message)])
    return replace(wanted, since=since, until=until)


@router.get("", response_model=Stats, summary="Count logs over time", dependencies=READ)
def get_stats(query: Annotated[StatsQuery, Query()]) -> Response:
    """Count logs by time bucket and field. The default span is the last 24 hours."""
    with session_scope() as session:
        counts = stats.Snapshot(session).count(
            _with_defaults(query, query.bucket, request_time()), query.bucket, query.by
        )
        warned = shown_warnings(filter_warnings.list_warnings(session, query.to_filter()))
    items = [{"at": rfc3339(each.at), "value": each.value, "count": each.count} for each in counts]
    return json_response({"bucket": query.bucket, "by": query.by, "items": items} | warned)


@router.get("/delivery", response_model=DeliveryStats, summary="Measure delivery over time", dependencies=READ)
def get_delivery_stats(query: Annotated[DeliveryStatsQuery, Query()]) -> Response:
    """Measure final outbound messages: the share delivered, and the time from created to final, if known."""
    with session_scope() as session:
        rows = stats.Snapshot(session).delivery(_with_defaults(query, query.bucket, request_time()), query.bucket)
        warned = shown_warnings(filter_warnings.list_warnings(session, query.to_filter()))
    items = [
        {
            "at": rfc3339(row.at),
            "final": row.final,
            "delivered": row.delivered,
            "delivered_percent": round(100 * row.delivered / row.final, 2),
            "p50_seconds": _rounded(row.p50),
            "p95_seconds": _rounded(row.p95),
        }
        for row in rows
    ]
    return json_response({"bucket": query.bucket, "items": items} | warned)


def _rounded(seconds: Decimal | float | None) -> float | None:
    return None if seconds is None else round(float(seconds), 3)
