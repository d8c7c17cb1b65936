"""Prometheus metrics: those of this process, and those that workers store in the database."""

from fastapi import Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.routing import make_router
from app.api.security import open_unless_closed

router = make_router("Health")


@router.get(
    "/metrics",
    summary="Get metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text format."}
    },
    dependencies=[Depends(open_unless_closed("metrics_open"))],
)
def get_metrics(request: Request) -> Response:
    """Return metrics in Prometheus' text format. Needs an API key only if METRICS_OPEN is false."""
    return Response(generate_latest(request.app.state.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
