"""Errors as problem documents (RFC 9457). Only this module maps our errors to HTTP statuses.

A response never repeats the request: a rejected value may be a secret.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.errors import Conflict, FieldError, InvalidInput, NotFound, TwilioError
from app.utils import database_errors, validation_messages
from app.utils.db_retry import is_contended, is_transient

MEDIA_TYPE = "application/problem+json"
TITLES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
TYPE_PREFIX = "urn:giftpulse:problem:"
CONTENDED = "Another change holds what this one needs. Nothing was changed; try again in a few seconds."
DATABASE_UNAVAILABLE = "The database is unavailable. Nothing was changed; try again in a few seconds."
INTERNAL_ERROR = "Internal error. Nothing was changed; the server's log has details under this request id."

log = structlog.get_logger()


class Refused(Exception):
    """A request that is rejected with a problem document before it reaches a service."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldError] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build a response with a problem document."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    shown = None if errors is None else [{"field": error.field, "message": error.message} for error in errors]
    return Response(orjson.dumps(problem_content(status, detail, request_id, shown)), status, headers, MEDIA_TYPE)


def problem_content(
    status: int, detail: str, request_id: str | None, errors: Sequence[Mapping[str, str]] | None
) -> dict[str, object]:
    """Build the members of a problem document."""
    title = title_of(status)
    content: dict[str, object] = {
        "type": TYPE_PREFIX + title.lower().replace(" ", "-"),
        "title": title,
        "status": status,
        "detail": detail,
    }
    if request_id:
        content["request_id"] = request_id
    return content if errors is None else content | {"errors": errors}


def title_of(status: int) -> str:
    """Return the title of a status; our own where Python's differs between versions."""
    return TITLES.get(status) or HTTPStatus(status).phrase


def sentence(error: Exception) -> str:
    """Format an error's message as a sentence."""
    words = str(error)
    return words[:1].upper() + words[1:] + "."


def invalid(errors: Sequence[FieldError]) -> Response:
    """Build a 422 response that names each invalid field."""
    if len(errors) == 1:
        return problem(422, f"{errors[0].field}: {errors[0].message}", errors=errors)
    return problem(422, f"{len(errors)} fields are invalid; `errors` lists them.", errors=errors)


def install(app: FastAPI) -> None:
    """Turn every error of the app into a problem document."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(InvalidInput, _invalid_input)
    app.add_exception_handler(NotFound, _not_found)
    app.add_exception_handler(Conflict, _conflict)
    app.add_exception_handler(TwilioError, _twilio)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeout, _database)


def internal_error(error: BaseException) -> Response:
    """Build a 500 response. The log gets the error's type and location; its message may contain a secret."""
    if (refused := database_errors.find(error)) is not None:
        log.error("the database did not do what a request asked", **database_errors.describe(refused))
        return problem(500, INTERNAL_ERROR)
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = "" if frame is None else f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
    log.error("a request failed", error=type(error).__name__, where=where)
    return problem(500, INTERNAL_ERROR)


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem(error.status, error.detail, headers=error.headers)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return _wrong_method(request)
    if error.status_code == 404:
        return problem(404, "There is nothing at this path; /docs lists all calls.")
    return problem(error.status_code, title_of(error.status_code) + ".", headers=error.headers)


def _wrong_method(request: Request) -> Response:
    """Build a 405 response with the path's methods in `Allow`; to OPTIONS, a 204."""
    found = [route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE]
    # A literal path (`/api/rules/preview`) wins over one with a parameter in that position.
    named = [route for route in found if getattr(route, "path", "") == request.url.path]
    known: set[str] = set()
    for route in named or found:
        known |= getattr(route, "methods", None) or set()
    if "GET" in known:
        known.add("HEAD")
    headers = {"Allow": ", ".join(sorted(known | {"OPTIONS"}))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    return problem(405, f"This path allows {headers['Allow']}.", headers=headers)


def _unreadable(_request: Request, error: Exception) -> Response:
    """Name the invalid parameters. The framework's own response would repeat their values."""
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldError(
            ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]), validation_messages.sentence(item)
        )
        for item in error.errors()
    ]
    return invalid(errors)


def _invalid_input(_request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidInput)
    return invalid(error.errors)


def _not_found(_request: Request, error: Exception) -> Response:
    return problem(404, sentence(error))


def _conflict(_request: Request, error: Exception) -> Response:
    return problem(409, sentence(error))


def _twilio(_request: Request, error: Exception) -> Response:
    return problem(502, f"The request to Twilio failed: {error}.")


def why_unavailable(error: Exception) -> str:
    """Return the sentence for a request that the database could not serve now, and log the reason."""
    if is_contended(error):
        log.warning("another change holds what a request needs", error=type(error).__name__)
        return CONTENDED
    log.warning("the database does not answer", error=type(error).__name__)
    return DATABASE_UNAVAILABLE


def _database(_request: Request, error: Exception) -> Response:
    """Return 503 if the database is unavailable or busy. Otherwise a value passed all checks, or there was a race."""
    if is_transient(error):
        return problem(503, why_unavailable(error), headers={"Retry-After": "5"})
    if isinstance(error, DataError):
        return invalid([FieldError("body", "contains a value that cannot be stored")])
    if isinstance(error, IntegrityError):
        return problem(409, "Someone else changed the same resource at the same time; read it and try again.")
    return internal_error(error)
