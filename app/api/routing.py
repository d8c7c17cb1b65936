"""What all routers share."""

import random
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError

from app.utils.db_retry import CONFLICT_WAITS_SECONDS, is_conflict


class _Route(APIRoute):
    """Repeats a request whose transaction PostgreSQL aborted because of a conflict: it changed nothing."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_with_retry(request: Request) -> Response:
            for wait in CONFLICT_WAITS_SECONDS:
                try:
                    return await handle(request)
                except DBAPIError as error:
                    if not is_conflict(error):
                        raise
                    await anyio.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
            return await handle(request)

        return handle_with_retry


def make_router(tag: str, *, prefix: str = "") -> APIRouter:
    """Create the router of one resource. Its operations are named after their handlers."""
    return APIRouter(prefix=prefix, tags=[tag], generate_unique_id_function=_operation_id, route_class=_Route)


def _operation_id(route: APIRoute) -> str:
    """Return the operation's id, which generated clients use as the method name."""
    return route.name
