"""The OpenAPI document: what FastAPI makes of the routes, with the bodies, the errors and the words put in.

Handlers read bodies through the gate, so FastAPI does not know their shapes; `body` names them for the document.
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

JsonObject = dict[str, Any]
REFERENCE = "#/components/schemas/{model}"
TITLE = "GiftPulse"
DESCRIPTION = """Watches Twilio accounts: stores their calls, messages and error logs, runs them through rules, opens \
alerts, and tells people and systems.

Every call under `/api` but the health probes needs the header `X-API-Key`. Lists come newest first, a page at a time: \
send `next_cursor` back as `cursor`. Errors are problem documents (RFC 9457). Times are RFC 3339 in UTC; \
`since` and `until` also take an age, such as `7d`, `12h` or `90m`."""
TAGS = {
    "Health": "Whether GiftPulse itself is well.",
    "Logs": "What Twilio recorded: calls, messages, error-log entries.",
    "Rules": "Which logs become an alert, and when.",
    "Actions": "Where notifications go.",
    "Alerts": "What is wrong, or was.",
    "Deliveries": "What was sent, and every attempt at it.",
    "Silences": "When to tell nobody.",
    "Stats": "Counts over time, for plots.",
    "Error codes": "What Twilio's codes mean.",
    "Rule packs": "Ready sets of rules.",
    "Accounts": "The Twilio accounts that are watched.",
    "Keys": "Who may call this API.",
    "Audit": "Who changed what.",
    "Export and import": "Rules, actions and silences as one document.",
    "Twilio's callbacks": "What Twilio calls; nobody else needs these.",
}
"""In the order in which a newcomer needs them."""
ERRORS = {
    400: ("The request is malformed.", "The body is not JSON: it ends too early."),
    401: ("The key is missing or wrong.", UNKNOWN_KEY),
    403: ("The key's scope is too small.", "This needs a key of the scope `write`; this one has `read`."),
    404: ("There is no such resource.", f"There is no such resource: {EXAMPLE_ID}."),
    409: (
        "The resource is in a state that forbids it, or the same request is under way.",
        "A request with this Idempotency-Key is under way.",
    ),
    412: (
        "It has changed since the version that `If-Match` names.",
        "It has changed since that version: read it again, then repeat the edit.",
    ),
    413: ("The body is too long.", "The body is longer than 1048576 bytes."),
    415: ("The body is not JSON, or compressed.", "The body must not be compressed."),
    422: ("A field or parameter cannot be used; `errors` names each.", "limit: must be 1000 or less"),
    429: ("Too many calls; `Retry-After` says how long to wait, in seconds.", "Too many calls with this key."),
    503: ("The database does not answer; `Retry-After` says when to try again, in seconds.", DATABASE_UNAVAILABLE),
}
"""Status to what it means, and to the words of an answer with it."""
SILENCE_EXAMPLE = timedelta(minutes=10)
"""So long after now ends the silence that stands as an example: who sends it as it stands does no harm."""

_bodies: dict[str, type[BaseModel]] = {}


def body(model: type[BaseModel], *, required: bool = True, partly: bool = False) -> JsonObject:
    """Describe the JSON body of a route, for its `openapi_extra`.

    Args:    partly: any field may be left out, as PATCH has it.
    """
    name = model.__name__
    _bodies[name] = model
    if partly:
        name = name.removesuffix("Body") + "Patch"
        _bodies[name] = model
    schema = {"$ref": REFERENCE.format(model=name)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def install(app: FastAPI) -> None:
    """Let the app serve the document that we make; it is made at the first request for it."""

    def openapi() -> JsonObject:
        if app.openapi_schema is None:
            app.openapi_schema = make(app)
        silence = app.openapi_schema["components"]["schemas"]["SilenceBody"]["properties"]
        silence["ends_at"]["examples"] = [rfc3339(cut_to_second(utc_now() + SILENCE_EXAMPLE))]
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's own manual does it


def make(app: FastAPI) -> JsonObject:
    """Make the document."""
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
    """Put words to the parts of a rule, whose shapes are the service's own."""
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
    """Make every field optional, and leave it as it stands where it is not given."""
    partial = deepcopy(dict(schema))
    partial.pop("required", None)
    partial["title"] = name
    partial["description"] = "What is to change; what is left out stays. Objects and lists are replaced whole."
    for field in partial["properties"].values():
        field.pop("default", None)
    return partial


def _add_errors(method: str, operation: JsonObject) -> None:
    """Add the errors that a call can answer with, by what it takes."""
    if operation.pop("x-key", None) == "optional":
        operation["security"].append({})
    responses = operation["responses"]
    responses.pop("422", None)
    statuses = {400, 422}
    parameters = operation.get("parameters", [])
    names = {each["name"] for each in parameters}
    for each in parameters:
        if each["schema"].get("default") == []:
            del each["schema"]["default"]  # of a list by commas, which is a text: nothing is the default
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
    """Describe an answer that is an error, with an example of its own.

    Args:    words: what the status means; detail: of an answer with it.
    """
    errors = [{"field": "limit", "message": "must be 1000 or less"}] if status == 422 else None
    example = problem_content(status, detail, "5f0c9f3e", errors)
    schema = {"$ref": REFERENCE.format(model="Problem")}
    return {"description": words, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}
