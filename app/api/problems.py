"""Errors as problem documents (RFC 9457): the only place that knows both our errors and HTTP's statuses.

An answer never repeats what was sent: a refused value may be a secret.
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
from app.utils.db_retry import is_transient

MEDIA_TYPE = "application/problem+json"
TITLES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
TYPE_PREFIX = "urn:giftpulse:problem:"
DATABASE_UNAVAILABLE = "The database does not answer. Nothing was changed; try again in a few seconds."
INTERNAL_ERROR = "Something in GiftPulse failed; its log tells more under this request's id. Nothing was changed."

log = structlog.get_logger()


class Refused(Exception):
    """A request that is answered with a problem before any service sees it."""

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
    """Answer with a problem document."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    shown = None if errors is None else [{"field": error.field, "message": error.message} for error in errors]
    return Response(orjson.dumps(problem_content(status, detail, request_id, shown)), status, headers, MEDIA_TYPE)


def problem_content(
    status: int, detail: str, request_id: str | None, errors: Sequence[Mapping[str, str]] | None
) -> dict[str, object]:
    """Make the members of a problem document."""
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
    """Name a status; the words are ours where Python's have changed between its versions."""
    return TITLES.get(status) or HTTPStatus(status).phrase


def sentence(error: Exception) -> str:
    """Write an error's words as a sentence."""
    words = str(error)
    return words[:1].upper() + words[1:] + "."


def invalid(errors: Sequence[FieldError]) -> Response:
    """Answer 422, naming each field that cannot be used."""
    if len(errors) == 1:
        return problem(422, f"{errors[0].field}: {errors[0].message}", errors=errors)
    return problem(422, f"{len(errors)} fields cannot be used; `errors` names them.", errors=errors)


def install(app: FastAPI) -> None:
    """Let every error of the app become a problem document."""
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
    """Answer 500. The log gets the kind of the error and where it happened, not its words: they may hold a secret."""
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
        return problem(404, "There is nothing at this address; /docs lists what there is.")
    return problem(error.status_code, title_of(error.status_code) + ".", headers=error.headers)


def _wrong_method(request: Request) -> Response:
    """Answer 405 with every method that the address knows; to OPTIONS, with these alone."""
    found = [route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE]
    # An address that is named itself (`/api/rules/preview`) is none of those with an id in that place.
    named = [route for route in found if getattr(route, "path", "") == request.url.path]
    known: set[str] = set()
    for route in named or found:
        known |= getattr(route, "methods", None) or set()
    if "GET" in known:
        known.add("HEAD")
    headers = {"Allow": ", ".join(sorted(known | {"OPTIONS"}))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    return problem(405, f"This address takes {headers['Allow']}.", headers=headers)


def _unreadable(_request: Request, error: Exception) -> Response:
    """Name the parameters that cannot be read. The framework's own answer would repeat what was sent."""
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
    return problem(502, f"Twilio did not do what was asked: {error}.")


def _database(_request: Request, error: Exception) -> Response:
    """503 where the database is away or too busy; the rest is a value that got past every check, or a race."""
    if is_transient(error):
        log.warning("the database does not answer", error=type(error).__name__)
        return problem(503, DATABASE_UNAVAILABLE, headers={"Retry-After": "5"})
    if isinstance(error, DataError):
        return invalid([FieldError("body", "holds a value that cannot be stored")])
    if isinstance(error, IntegrityError):
        return problem(409, "Somebody else changed the same thing at the same moment; look at it and try again.")
    return internal_error(error)
