"""Twilio's callbacks: verify the signature, pass to ingest, answer immediately."""

from typing import Annotated, Any
from urllib.parse import parse_qsl

import structlog
from fastapi import Depends, Request, Response

from app.api.deps import AppSettings, read_body
from app.api.openapi import error_response
from app.api.problems import Refused
from app.api.routing import make_router
from app.config import Settings
from app.database import session_scope
from app.services.ingest import callbacks
from app.services.ingest.signing import signing_tokens
from app.services.twilio import pushes
from app.services.twilio.pushes import Push
from app.services.twilio.signature import DEFAULT_ALGORITHM, form_of, is_genuine, shared_key
from app.utils.clock import utc_now

router = make_router("Twilio's callbacks", prefix="/webhooks/twilio")
SIGNATURE = "x-twilio-signature"
SHARED_KEY = "x-twilio-webhooks-signature-settings"
MAX_FIELDS = 1000
BAD_SIGNATURE = "X-Twilio-Signature does not match: check PUBLIC_BASE_URL and the account's auth token."
REFUSED: dict[int | str, dict[str, Any]] = {
    403: error_response(403, "`X-Twilio-Signature` does not match a watched account.", BAD_SIGNATURE)
}


def _described(media_type: str, words: str) -> dict[str, Any]:
    return {"requestBody": {"description": words, "content": {media_type: {"schema": {}}}}}


FORM = _described(
    "application/x-www-form-urlencoded", "The parameters that Twilio posts; in a GET, they are in the query."
)
EVENTS = _described("application/json", "An Event Streams CloudEvent, or an array of them.")

log = structlog.get_logger()


async def _read(request: Request) -> bytes:
    return await read_body(request)


RawBody = Annotated[bytes, Depends(_read)]


@router.get(
    "/status",
    status_code=204,
    summary="Receive a status callback by GET",
    operation_id="take_status_by_get",
    responses=REFUSED,
)
@router.post("/status", status_code=204, summary="Receive a status callback", openapi_extra=FORM, responses=REFUSED)
@router.get("/status/", status_code=204, include_in_schema=False)
@router.post("/status/", status_code=204, include_in_schema=False)
def take_status(request: Request, body: RawBody, settings: AppSettings) -> Response:
    """Receive Twilio's status callback of a message or a call."""
    fields = _fields(request, body)
    _verify(request, body, settings, fields.get("AccountSid", ""))
    return _take(pushes.read_status(fields), settings)


@router.get(
    "/error",
    status_code=204,
    summary="Receive an error-log entry by GET",
    operation_id="take_error_by_get",
    responses=REFUSED,
)
@router.post("/error", status_code=204, summary="Receive an error-log entry", openapi_extra=FORM, responses=REFUSED)
@router.get("/error/", status_code=204, include_in_schema=False)
@router.post("/error/", status_code=204, include_in_schema=False)
def take_error(request: Request, body: RawBody, settings: AppSettings) -> Response:
    """Receive the webhook that Twilio's Debugger sends for each error and warning."""
    fields = _fields(request, body)
    _verify(request, body, settings, fields.get("AccountSid", ""), with_parent=True)
    return _take(pushes.read_error(fields), settings)


@router.post(
    "/events", status_code=204, summary="Receive Event Streams events", openapi_extra=EVENTS, responses=REFUSED
)
@router.post("/events/", status_code=204, include_in_schema=False)
def take_events(request: Request, body: RawBody, settings: AppSettings) -> Response:
    """Receive one CloudEvent or an array of them. Events of accounts that are not watched are dropped."""
    _verify(request, body, settings, None)
    events = pushes.read_events(body)
    if events is None:
        raise Refused(400, "The body must be an Event Streams event, or an array of them.")
    callbacks.accept(events, settings, utc_now())
    return Response(status_code=204)


def _fields(request: Request, body: bytes) -> dict[str, str]:
    """Read the parameters of the form, or of the query if there is no body."""
    query = request.scope["query_string"].decode("latin-1")
    try:
        pairs = form_of(body) if body else parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refused(400, "The form is malformed.") from None
    return dict(pairs)


def _verify(
    request: Request, body: bytes, settings: Settings, account_sid: str | None, *, with_parent: bool = False
) -> None:
    """Check that the named account signed the request, or its parent with `with_parent`; if none is named, any account.

    Raises: Refused with 403.
    """
    signature = request.headers.get(SIGNATURE)
    query = request.scope["query_string"].decode("latin-1")
    address = settings.public_base_url + request.scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    named = request.headers.get(SHARED_KEY)
    key_id, algorithm = (shared_key(named) or (None, None)) if named is not None else (None, DEFAULT_ALGORITHM)
    genuine = False
    if signature and algorithm:
        with session_scope() as session:
            tokens = signing_tokens(session, settings, account_sid, key_id=key_id, with_parent=with_parent)
        content_type = request.headers.get("content-type")
        genuine = is_genuine(tokens, signature, request.method, address, content_type, body, algorithm)
    if not genuine:
        log.warning("a callback was refused: its signature does not match a watched account", path=request.url.path)
        raise Refused(403, BAD_SIGNATURE)


def _take(push: Push | None, settings: Settings) -> Response:
    if push is None:
        raise Refused(400, "The callback names no message, call or error-log entry.")
    callbacks.accept([push], settings, utc_now())
    return Response(status_code=204)
