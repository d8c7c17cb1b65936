"""The OpenAPI document: FastAPI's, plus request bodies, errors and descriptions.

Handlers read bodies through `json_guard`, so FastAPI does not know their schemas; `body` declares them.
"""

from collections.abc import Mapping
from copy import deepcopy
from datetime import timedelta
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app import __version__
from app.api.problems import DATABASE_UNAVAILABLE, MEDIA_TYPE, problem_content
from app.api.schemas.common import EXAMPLE_ID, Problem
from app.api.schemas.rules import COMMON_PARTS, PARTS
from app.api.security import UNKNOWN_KEY
from app.utils.clock import cut_to_second, rfc3339, utc_now
from app.utils.json_types import JsonObject

REFERENCE = "#/components/schemas/{model}"
TITLE = "GiftPulse"
DESCRIPTION = """GiftPulse watches Twilio accounts: it stores their calls, messages and error logs, evaluates rules, \
opens alerts, and notifies people and systems.

Every call under `/api` except the health probes needs the header `X-API-Key`. Lists are paged, newest first: \
send `next_cursor` back as `cursor`. Errors are problem documents (RFC 9457). Times are RFC 3339 in UTC; \
`since` and `until` also accept an age, such as `7d`, `12h` or `90m`."""
TAGS = {
    "Health": "Health of GiftPulse itself.",
    "Logs": "Twilio's calls, messages and error-log entries.",
    "Rules": "Which logs open an alert, and when.",
    "Actions": "Where notifications go.",
    "Alerts": "Open and past problems.",
    "Deliveries": "Sent notifications and every attempt to send them.",
    "Silences": "Periods without notifications.",
    "Stats": "Counts over time, for plots.",
    "Error codes": "What Twilio's codes mean.",
    "Rule packs": "Ready-made sets of rules.",
    "Accounts": "The Twilio accounts that are watched.",
    "Keys": "API keys and their scopes.",
    "People": "Who signs in to the console with the organization's own provider.",
    "Audit": "Who changed what.",
    "Settings": "The settings of the server.",
    "Export and import": "Rules, actions and silences as one document.",
    "Twilio's callbacks": "Endpoints that Twilio calls.",
}
"""In the order in which a new user needs them."""
ERRORS = {
    400: ("The request is malformed.", "The body is not JSON: it ends too early."),
    401: ("The key is missing or wrong.", UNKNOWN_KEY),
    403: ("The key's scope is too small.", "This needs a key of the scope `write`; this one has `read`."),
    404: ("There is no such resource.", f"There is no such resource: {EXAMPLE_ID}."),
    409: (
        "The state of the resource does not allow this, or the same request is in progress.",
        "A request with this Idempotency-Key is in progress.",
    ),
    412: (
        "The resource has changed since the version in `If-Match`.",
        "The resource has changed since that version: read it again, then repeat the edit.",
    ),
    413: ("The body is too long.", "The body is longer than 1048576 bytes."),
    415: ("The body is not JSON, or is compressed.", "The body must not be compressed."),
    422: ("A field or parameter is invalid; `errors` lists each one.", "limit: must be 1000 or less"),
    429: ("Too many calls; `Retry-After` is the time to wait, in seconds.", "Too many calls with this key."),
    503: ("The database is unavailable or busy; `Retry-After` is the time to wait, in seconds.", DATABASE_UNAVAILABLE),
}
"""The meaning of each status, and the detail of an example response."""
SILENCE_EXAMPLE = timedelta(minutes=10)
"""The silence in the example ends this long after now: sending the example unchanged does no harm."""

_bodies: dict[str, type[BaseModel]] = {}


def body(model: type[BaseModel], *, required: bool = True, partly: bool = False) -> JsonObject:
    """Describe the JSON body of a route, for its `openapi_extra`.

    Args:    partly: every field is optional, as in PATCH.
    """
    name = model.__name__
    _bodies[name] = model
    if partly:
        name = name.removesuffix("Body") + "Patch"
        _bodies[name] = model
    schema = {"$ref": REFERENCE.format(model=name)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def install(app: FastAPI) -> None:
    """Make the app serve our document. It is built at the first request for it."""

    def openapi() -> JsonObject:
        if app.openapi_schema is None:
            app.openapi_schema = make(app)
        silence = app.openapi_schema["components"]["schemas"]["SilenceBody"]["properties"]
        silence["ends_at"]["examples"] = [rfc3339(cut_to_second(utc_now() + SILENCE_EXAMPLE))]
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's own manual does it


def make(app: FastAPI) -> JsonObject:
    """Build the document."""
    tags = [{"name": name, "description": words} for name, words in TAGS.items()]
    document = get_openapi(
        title=TITLE, version=__version__, description=DESCRIPTION, routes=app.routes, tags=tags, servers=[{"url": "/"}]
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= _body_schemas()
    _describe_parts(schemas)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operations in document["paths"].values():
        for method, operation in operations.items():
            _add_errors(method, operation)
    return document


def _describe_parts(schemas: JsonObject) -> None:
    """Add descriptions to the parts of a rule, whose models belong to the service."""
    for name, words in PARTS.items():
        for field, part in schemas[name]["properties"].items():
            part.setdefault("description", words.get(field) or COMMON_PARTS[field])


def _body_schemas() -> JsonObject:
    models: set[type[BaseModel]] = {*_bodies.values(), Problem}
    made = models_json_schema([(model, "validation") for model in models], ref_template=REFERENCE)[1]["$defs"]
    for name, model in _bodies.items():
        if name != model.__name__:
            made[name] = _partial(made[model.__name__], name)
    return dict(made)


def _partial(schema: Mapping[str, Any], name: str) -> JsonObject:
    """Make every field optional and remove defaults: a field that is left out keeps its value."""
    partial = deepcopy(dict(schema))
    partial.pop("required", None)
    partial["title"] = name
    partial["description"] = (
        "The fields to update; others keep their values. Objects and lists are replaced as a whole."
    )
    for field in partial["properties"].values():
        field.pop("default", None)
    return partial


def _add_errors(method: str, operation: JsonObject) -> None:
    """Add the errors that a call can return, according to its parameters and body."""
    if operation.pop("x-key", None) == "optional":
        operation["security"].append({})
    responses = operation["responses"]
    responses.pop("422", None)
    statuses = {400, 422}
    parameters = operation.get("parameters", [])
    names = {each["name"] for each in parameters}
    for each in parameters:
        if each["schema"].get("default") == []:
            del each["schema"]["default"]  # of a comma-separated list, which is a text: it has no default
    if operation.get("security"):
        statuses |= {401, 403, 429, 503}
    if any(each["in"] == "path" for each in parameters):
        statuses |= {404}
    if "requestBody" in operation or "Idempotency-Key" in names:
        statuses |= {413, 415}
    if "If-Match" in names:
        statuses |= {412}
    if method != "get":
        statuses |= {409}
    for status in statuses:
        responses.setdefault(str(status), error_response(status, *ERRORS[status]))
    operation["responses"] = dict(sorted(responses.items()))


def error_response(status: int, words: str, detail: str) -> JsonObject:
    """Describe an error response, with an example.

    Args:    words: what the status means; detail: of the example.
    """
    errors = [{"field": "limit", "message": "must be 1000 or less"}] if status == 422 else None
    example = problem_content(status, detail, "5f0c9f3e", errors)
    schema = {"$ref": REFERENCE.format(model="Problem")}
    return {"description": words, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}
