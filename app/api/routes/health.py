"""Whether GiftPulse is well: for load balancers, without a key; with one, in more words."""

import threading
import time
from typing import Any

from fastapi import Request, Response

from app.api.deps import check_query
from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.health import HealthReport, Live
from app.api.security import OptionalCaller
from app.config import Settings
from app.services import health
from app.utils.clock import utc_now

CACHE_SECONDS = 2.0

router = make_router("Health", prefix="/api/health")


class CachedHealth:
    """Looks at most once in a few seconds, however many ask: the probes need no key."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._found: health.Health | None = None
        self._found_at = 0.0

    def check(self) -> health.Health:
        """Return every check, none older than a few seconds."""
        with self._lock:
            if self._found is None or time.monotonic() - self._found_at > CACHE_SECONDS:
                self._found = health.examine(self._settings, utc_now())
                self._found_at = time.monotonic()
            return self._found


DOWN: dict[int | str, dict[str, Any]] = {503: {"model": HealthReport, "description": "The database is away."}}


@router.get(
    "",
    response_model=HealthReport,
    responses=DOWN,
    summary="Look at every part",
    openapi_extra={"x-key": "optional"},
)
def get_health(request: Request, caller: OptionalCaller) -> Response:
    """Say how every part is. The details come only with a key."""
    found = request.app.state.health.check()
    shown = {
        name: {"status": check.status, "detail": check.detail} if caller else {"status": check.status}
        for name, check in found.checks.items()
    }
    return json_response({"status": found.status, "checks": shown}, 503 if found.status == "down" else 200)


@router.get("/live", response_model=Live, summary="Look whether the process lives")
async def get_live(request: Request) -> Response:
    """Answer while the process lives, whatever else is the matter."""
    check_query(request)
    return json_response({"status": "ok"})
