"""Export and import of rules, actions and silences as one YAML document."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from sqlalchemy.orm import Session

from app.api import json_guard
from app.api.deps import AppSettings, read_body, request_id
from app.api.idempotency import Idempotent
from app.api.problems import Refused
from app.api.responses import json_response
from app.api.routing import make_router
from app.api.schemas.transfer import ImportOptions, ImportResult
from app.api.security import ADMIN, Admin
from app.database import session_scope
from app.errors import FieldError, InvalidInput
from app.services.transfer import transfer
from app.utils.clock import utc_now

router = make_router("Export and import")
MAX_IMPORT_BYTES = 10 << 20
MEDIA_TYPE = "application/yaml"
ACCEPTED = (MEDIA_TYPE, "application/x-yaml", "text/yaml", "text/x-yaml", "application/json")
EXAMPLE = """version: 1
rules:
  - slug: failed-calls
    name: Failed Call Detection
    enabled: false
    log_type: call
    pattern_type: error_code
    pattern_value: 30001,30002,30003
actions:
  - slug: ops-mail
    rule: failed-calls
    action_type: email
    enabled: false
    config:
      recipients: [ops@example.com]
silences: []
"""
SCHEMA = {
    "type": "object",
    "description": "The whole configuration. Each object has a stable name, its `slug`.",
    "required": ["version"],
    "additionalProperties": False,
    "properties": {
        "version": {"type": "integer", "const": 1, "description": "The version of the document."},
        **{
            kind: {"type": "array", "items": {"type": "object", "required": ["slug"]}, "description": words}
            for kind, words in {
                "rules": "Rules, as `POST /api/rules` accepts them, each with a `slug`.",
                "actions": "Actions, as `POST /api/actions` accepts them, with a `slug`; `rule` is a rule's slug.",
                "silences": "Silences, as `POST /api/silences` accepts them, with a `slug`; `rule` is a rule's slug.",
            }.items()
        },
    },
}
CONTENT: dict[str, Any] = {MEDIA_TYPE: {"schema": SCHEMA, "example": EXAMPLE}}


@router.get(
    "/api/export",
    summary="Export rules, actions and silences",
    response_class=Response,
    # No schema, for generated clients: some would return YAML as a text, some parsed.
    responses={200: {"content": {MEDIA_TYPE: {"schema": {}, "example": EXAMPLE}}, "description": "The document."}},
    dependencies=ADMIN,
)
def export_configuration(settings: AppSettings) -> Response:
    """Export all rules and actions, and the silences that have not ended, as one document.

    Secrets are masked, or `${GIFTPULSE_...}` if an import set them so.
    """
    with session_scope() as session:
        return Response(transfer.export(session, settings, utc_now()), headers={"Content-Type": MEDIA_TYPE})


async def read_document(request: Request) -> str:
    """Read the document.

    Raises: Refused with 400, 413 or 415; InvalidInput.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ACCEPTED:
        raise Refused(415, f"The body must be YAML, with the Content-Type {MEDIA_TYPE}.")
    body = await read_body(request, MAX_IMPORT_BYTES)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(400, "The body is not UTF-8.") from None
    if fault := json_guard.text_error(text):
        raise InvalidInput([FieldError("body", fault)])
    return text


def _shown(planned: transfer.Planned) -> dict[str, Any]:
    shown = asdict(planned)
    return shown if planned.warnings else {name: value for name, value in shown.items() if name != "warnings"}


@router.post(
    "/api/import",
    response_model=ImportResult,
    summary="Import rules, actions and silences",
    openapi_extra={"requestBody": {"required": True, "content": {**CONTENT, "application/json": {"schema": SCHEMA}}}},
)
def import_configuration(
    caller: Admin,
    options: Annotated[ImportOptions, Query()],
    text: Annotated[str, Depends(read_document)],
    once: Idempotent,
    settings: AppSettings,
) -> Response:
    """Apply a document of rules, actions and silences.

    It is applied completely or, if a field is invalid, not at all. Objects in the document are created or updated, and
    are managed by it from then on. Other objects stay; with `prune`, those that an earlier import created are deleted.
    Importing the same document again changes nothing. A masked secret keeps the stored one; `${GIFTPULSE_...}` is
    replaced by a variable of the server's environment.
    """

    def effect(session: Session) -> Response:
        with session.begin_nested() as tried:
            planned = transfer.apply_document(
                session, text, settings, caller.name, utc_now(), prune=options.prune, request_id=request_id()
            )
            if options.dry_run:
                tried.rollback()
        return json_response({"dry_run": options.dry_run, "changes": [_shown(each) for each in planned]})

    return once.run(caller.id, effect)
