"""FastAPI dependencies: request body, query checks, `If-Match`."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import structlog
from fastapi import Depends, Header, Request
from pydantic import BaseModel, ValidationError

from app.api import json_guard
from app.api.problems import Refused, sentence
from app.api.responses import etag
from app.config import Settings
from app.errors import FieldError, InvalidInput
from app.utils.json_types import JsonObject

MAX_BODY_BYTES = 1 << 20
MAX_QUERY_LENGTH = 16_384
Model = TypeVar("Model", bound=BaseModel)


def check_query(request: Request) -> None:
    """Refuse a query that is malformed, repeats a parameter, or is sent to a call without parameters.

    Raises: InvalidInput, naming the parameters; Refused.
    """
    raw = request.scope["query_string"].decode("latin-1")
    if not raw:
        return
    if len(raw) > MAX_QUERY_LENGTH:
        raise Refused(414, f"The query is longer than {MAX_QUERY_LENGTH} characters.")
    # Bytes that are not UTF-8 become lone surrogates, which `json_guard` rejects with the parameter's name.
    pairs = parse_qsl(raw, keep_blank_values=True, errors="surrogateescape")
    names = [name for name, _ in pairs]
    takes_any = bool(request.scope["route"].dependant.query_params)
    errors = [
        FieldError(_name(name), fault)
        for name, value in pairs
        if (fault := json_guard.text_error(name + json_guard.trim_list(value)))
    ]
    errors += [
        FieldError(_name(name), "is not a parameter of this call") for name in dict.fromkeys(names) if not takes_any
    ]
    errors += [
        FieldError(_name(name), "must be given once; separate several values with commas")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if errors:
        raise InvalidInput(errors)


def _name(name: str) -> str:
    """Return a parameter's name if an error may show it."""
    return name if re.fullmatch(r"[\w.-]{1,50}", name) else "query"


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Read the body and count its bytes while it streams in. Later calls return the same bytes.

    Raises: Refused with 413 if it is too long, 415 if it is compressed.
    """
    if hasattr(request.state, "body"):
        return bytes(request.state.body)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "The body must not be compressed.")
    too_long = Refused(413, f"The body is longer than {limit} bytes.", {"Connection": "close"})
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise too_long
    chunks, length = [], 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > limit:
            raise too_long
        chunks.append(chunk)
    request.state.body = b"".join(chunks)
    return bytes(request.state.body)


async def read_json(request: Request) -> Any:
    """Read a JSON body.

    Raises: Refused with 400, 413 or 415; InvalidInput for values that no field accepts.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await read_body(request)
    if content_type != "application/json" and not (
        content_type.startswith("application/") and content_type.endswith("+json")
    ):
        raise Refused(415, "The body must be JSON, with the Content-Type application/json.")
    return _parse(body)


async def read_optional_json(request: Request) -> Any:
    """Read a JSON body, or return an empty object if there is no body."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return {}
    return await read_json(request)


def _parse(body: bytes) -> Any:
    try:
        return json_guard.parse_json(body)
    except json_guard.Malformed as error:
        raise Refused(400, sentence(error)) from None


JsonBody = Annotated[Any, Depends(read_json)]
OptionalJsonBody = Annotated[Any, Depends(read_optional_json)]


def parse(model: type[Model], body: Any) -> Model:
    """Validate a body against a model.

    Raises: InvalidInput, which names each field by its path and repeats no value.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidInput.from_validation(error) from None


def settings_of(request: Request) -> Settings:
    """Return the settings of the running app."""
    settings: Settings = request.app.state.settings
    return settings


AppSettings = Annotated[Settings, Depends(settings_of)]


def request_id() -> str | None:
    """Return the id of the current request."""
    found: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return found


@dataclass(frozen=True)
class IfMatchGuard:
    """The version in `If-Match` that an edit applies to, or None for any."""

    tags: frozenset[str] | None

    def check(self, shown: JsonObject, unversioned: Collection[str] = ()) -> None:
        """Compare with the current resource, which the caller has locked.

        Raises: Refused with 412 if it was edited since that version.
        """
        if self.tags is not None and "*" not in self.tags and etag(shown, unversioned) not in self.tags:
            raise Refused(412, "The resource has changed since that version: read it again, then repeat the edit.")


def if_match(
    header: Annotated[
        str | None,
        Header(alias="If-Match", description="The `ETag` of the version to edit; 412 if it is stale."),
    ] = None,
) -> IfMatchGuard:
    """Read `If-Match`: `*` or a comma-separated list of tags. A weak tag never matches."""
    return IfMatchGuard(None if header is None else frozenset(part.strip() for part in header.split(",")))


IfMatch = Annotated[IfMatchGuard, Depends(if_match)]
