"""Numbers for Prometheus: those of this process, and those that the workers keep in the database."""

from fastapi import Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.routing import make_router
from app.api.security import open_unless_closed

router = make_router("Health")


@router.get(
    "/metrics",
    summary="Read the metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text format."}
    },
    dependencies=[Depends(open_unless_closed("metrics_open"))],
)
def get_metrics(request: Request) -> Response:
    """Answer in Prometheus' text format. Needs a key only where METRICS_OPEN is false."""
    return Response(generate_latest(request.app.state.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
