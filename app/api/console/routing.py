"""The console's routes: errors become pages, and a request without a session leads to the sign-in."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from app.api.console import deleted, kept_form
from app.api.console.access import EarlierSession, SignInNeeded, Viewer, check_origin, find_viewer, read_form
from app.api.console.rendering import render
from app.api.problems import INTERNAL_ERROR, Refused, internal_error, sentence, why_unavailable
from app.errors import Conflict, InvalidInput, NotFound, TwilioError
from app.utils.db_retry import is_transient

TITLES = {
    401: "You are signed out",
    403: "That is not allowed",
    404: "There is nothing here",
    409: "That is not possible now",
    422: "That cannot be used",
    429: "Too many requests",
    500: "That did not work",
    502: "Twilio refused it or failed",
    503: "That is not possible at the moment",
}

FRAME_PAGE = "/more"
"""Page from which the frame around an error refreshes itself: its own address only repeats the error."""


class PageRoute(APIRoute):
    """Responds to every error with a page that explains it and links on."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except SignInNeeded:
                return await _sign_in(request)
            except EarlierSession as error:
                path, fields = request.url.path, kept_form.fields_of(error.form)
                return await run_in_threadpool(kept_form.ask_again, request, error.viewer, path, fields, 403)
            except HTTPException:
                raise
            except Exception as error:  # noqa: BLE001  # a person must get a page in every case
                return await run_in_threadpool(error_page, request, *_explain(error))

        return handle_with_pages


def install(app: FastAPI) -> None:
    """Respond to browsers with an error page for unknown addresses; other clients get the API's problem document."""
    answer_api = app.exception_handlers[HTTPException]

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
        if error.status_code == 404 and request.method == "GET" and wants_page:
            return await run_in_threadpool(error_page, request, 404, "There is no page at this address.")
        answered = answer_api(request, error)
        assert isinstance(answered, Response)
        return answered

    app.add_exception_handler(HTTPException, answer)


def make_router() -> APIRouter:
    """Create a router of pages, which the API's documentation omits."""
    return APIRouter(include_in_schema=False, route_class=PageRoute)


def _explain(error: Exception) -> tuple[int, str]:
    """Return the status and the sentence of an error. Unexpected errors are logged."""
    match error:
        case Refused():
            return error.status, error.detail
        case InvalidInput():
            return 422, "; ".join(f"{each.field} {each.message}" for each in error.errors)
        case RequestValidationError():
            return 404, "There is no page at this address."
        case NotFound():
            return 404, sentence(error)
        case Conflict():
            return 409, sentence(error)
        case TwilioError():
            return 502, f"The request to Twilio failed: {error}."
        case DBAPIError() | PoolTimeout() if is_transient(error):
            return 503, why_unavailable(error)
        case _:
            internal_error(error)
            return 500, INTERNAL_ERROR


async def _sign_in(request: Request) -> Response:
    if "x-fragment" in request.headers:
        return Response(status_code=401)
    if request.method == "POST":
        # A form of another site, or one that cannot be read, is not kept.
        with suppress(Refused):
            check_origin(request)
            path, kept = request.url.path, kept_form.fields_of(await read_form(request))
            return await run_in_threadpool(sign_in_page, request, "/", kept_path=path, kept=kept, status=401)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = path if request.method == "GET" else "/"
    return Response(status_code=303, headers={"Location": f"/sign-in?next={quote(target, safe='/')}"})


SIGN_IN_HEADINGS = {
    "/alerts/": "Sign in to see the alert",
    "/logs/": "Sign in to see the log",
    "/rules/": "Sign in to see the rule",
}


def sign_in_page(
    request: Request,
    target: str,
    *,
    name: str = "",
    remember: bool = True,
    error: str = "",
    kept_path: str = "",
    kept: kept_form.Fields = (),
    status: int = 200,
) -> Response:
    """Ask for a key, and keep a form that was typed before.

    Args:    target: path to go to afterwards; kept_path: where the kept form goes.
    """
    heading = next((text for start, text in SIGN_IN_HEADINGS.items() if target.startswith(start)), "Sign in")
    context = {
        "next": target,
        "heading": "Sign in to send what you typed" if kept_path else heading,
        "name": name,
        "remember": remember,
        "error": error,
        "kept_path": kept_path,
        "kept": kept,
        "provider": request.app.state.provider,
        "takes_keys": not request.app.state.settings.passwordless_only,
    }
    return render(request, None, "sign_in.html", context, status)


def error_page(request: Request, status: int, detail: str) -> Response:
    """Respond with an error page. For a deleted object it says who deleted it, to people who are signed in."""
    viewer = _viewer(request, status)
    context = {
        "title": TITLES.get(status, "That did not work"),
        "detail": detail,
        "status": status,
        "is_posted": request.method == "POST",
        "live_from": FRAME_PAGE,
        "deletion": deleted.find(request.url.path) if status == 404 and viewer is not None else None,
        "request_id": structlog.contextvars.get_contextvars().get("request_id", ""),
    }
    return render(request, viewer, "error.html", context, status)


def _viewer(request: Request, status: int) -> Viewer | None:
    """Return the viewer for the frame of an error page; None if even that fails."""
    if status == 503:
        return None
    try:
        return find_viewer(request)
    except (DBAPIError, PoolTimeout, HTTPException):
        return None
