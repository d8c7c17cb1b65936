"""Health of GiftPulse: for load balancers without a key, with details for callers that send one."""

from typing import Any

from fastapi import Request, Response

from app.api.deps import check_query
from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.health import HealthReport, Live
from app.api.security import OptionalCaller
from app.config import Settings
from app.services import health
from app.utils.caching import ReadCache
from app.utils.clock import utc_now

CACHE_SECONDS = 2.0

router = make_router("Health", prefix="/api/health")


def health_cache(settings: Settings) -> ReadCache[[], health.Health]:
    """Make the cache of all checks: anyone can call the probes."""
    return ReadCache(lambda: health.examine(settings, utc_now()), CACHE_SECONDS)


DOWN_EXAMPLE = {
    "status": "down",
    "checks": {
        "database": {"status": "down", "detail": "the database does not answer: see DATABASE_URL"},
        "broker": {"status": "ok", "detail": "answers"},
        **{name: {"status": "degraded", "detail": health.NOT_KNOWN} for name in ("polling", "workers", "deliveries")},
    },
}
DOWN: dict[int | str, dict[str, Any]] = {
    503: {
        "model": HealthReport,
        "description": "The database is unavailable.",
        "content": {"application/json": {"example": DOWN_EXAMPLE}},
    }
}


@router.get(
    "",
    response_model=HealthReport,
    responses=DOWN,
    summary="Check all components",
    openapi_extra={"x-key": "optional"},
)
def get_health(request: Request, caller: OptionalCaller) -> Response:
    """Report the health of each component. Details require an API key."""
    found = request.app.state.health.get()
    shown = {
        name: {"status": check.status, "detail": check.detail} if caller else {"status": check.status}
        for name, check in found.checks.items()
    }
    return json_response({"status": found.status, "checks": shown}, 503 if found.status == "down" else 200)


@router.get("/live", response_model=Live, summary="Liveness probe")
async def get_live(request: Request) -> Response:
    """Answers as long as the process runs. It checks nothing else."""
    check_query(request)
    return json_response({"status": "ok"})
