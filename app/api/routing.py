"""What all routers share."""

from fastapi import APIRouter
from fastapi.routing import APIRoute


def make_router(tag: str, *, prefix: str = "") -> APIRouter:
    """Make the router of one resource, which names its operations after their handlers."""
    return APIRouter(prefix=prefix, tags=[tag], generate_unique_id_function=_operation_id)


def _operation_id(route: APIRoute) -> str:
    """Name an operation as a generated client's method is to be called."""
    return route.name
