"""How far behind reading, evaluation and delivery are and were."""

from datetime import timedelta
from typing import Annotated

from fastapi import Query, Response

from app.api.deps import AppSettings
from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.lags import LagQuery, LagReport
from app.api.security import READ
from app.database import session_scope
from app.services import lags
from app.services.logs.stats import BUCKETS
from app.utils.clock import rfc3339, utc_now

router = make_router("Health", prefix="/api/lags")
DEFAULT_SPAN = timedelta(hours=24)


@router.get("", response_model=LagReport, summary="Measure how far behind each stage is", dependencies=READ)
def get_lags(query: Annotated[LagQuery, Query()], settings: AppSettings) -> Response:
    """Measure the lags of reading, evaluation and delivery now, and list the highest of each bucket.

    The default span is the last 24 hours, the longest 7 days: the lags of each minute are stored for so long.
    """
    since, until = query.resolve(DEFAULT_SPAN)
    with session_scope() as session:
        buckets = lags.highest(session, since, until, BUCKETS[query.bucket])
        present = lags.measure(session, utc_now())
    return json_response(
        {
            "now": lags.to_json(present),
            "limits": lags.to_json(lags.limits(settings)),
            "bucket": query.bucket,
            "items": [{"at": rfc3339(at)} | lags.to_json(found) for at, found in buckets.items()],
        }
    )
