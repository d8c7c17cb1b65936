"""Silences: create, list, end."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange
from app.api.deps import IfMatch, JsonBody, parse
from app.api.idempotency import Idempotent
from app.api.lists import page_response, read_position
from app.api.openapi import body
from app.api.responses import json_response, no_content, resource_response
from app.api.routing import make_router
from app.api.schemas.common import EXAMPLE_ID
from app.api.schemas.silences import Silence as ShownSilence
from app.api.schemas.silences import SilenceBody, SilencedAlerts, SilenceFilters, SilencePage
from app.api.security import READ, Writer
from app.database import session_scope
from app.models import Silence
from app.services.alerts import silences
from app.services.alerts.recurrence import Validity
from app.services.serializers import alert_json
from app.utils.clock import utc_now
from app.utils.json_types import JsonObject

router = make_router("Silences", prefix="/api/silences")
SilenceId = Annotated[UUID, Path(description="The silence's id.", examples=[EXAMPLE_ID])]
VOLATILE_FIELDS = ("active", "next_start", "alert_ids", "warnings")
"""These change without an edit."""


def _show(session: Session, silence: Silence) -> JsonObject:
    return silences.to_json(session, [silence], utc_now())[0]


@router.get("", response_model=SilencePage, summary="List silences", dependencies=READ)
def list_silences(query: Annotated[SilenceFilters, Query()]) -> Response:
    """List silences, newest first, including past ones."""
    with session_scope() as session:
        page = silences.list_silences(session, read_position("silences", query, silences.SORT_KEY), query.limit)
        shown = silences.to_json(session, page.items, utc_now())
        return page_response("silences", query, shown, page.older)


@router.post(
    "", status_code=201, response_model=ShownSilence, summary="Create a silence", openapi_extra=body(SilenceBody)
)
def create_silence(caller: Writer, sent: JsonBody, once: Idempotent) -> Response:
    """Withhold firing and update notifications of matching alerts.

    An alert that still fires when the silence ends is sent then.
    """
    parsed = parse(SilenceBody, sent)

    def effect(session: Session) -> Response:
        now = utc_now()
        silence = silences.create(
            session,
            parsed.rule_id,
            dict(parsed.group),
            Validity.of(parsed.starts_at or now, parsed.ends_at, parsed.repeat),
            parsed.reason,
            caller.name,
            now,
        )
        shown = _show(session, silence)
        AuditedChange(session, caller, f"silence:{silence.id}").record("silence.create", shown)
        return resource_response(shown, 201, unversioned=VOLATILE_FIELDS)

    return once.run(caller.id, effect)


@router.post(
    "/preview",
    response_model=SilencedAlerts,
    summary="Preview a silence",
    openapi_extra=body(SilenceBody),
    dependencies=READ,
)
def preview_silence(sent: JsonBody) -> Response:
    """List the open alerts that a silence would match. Nothing is stored."""
    parsed = parse(SilenceBody, sent)
    now = utc_now()
    wanted = Validity.of(parsed.starts_at or now, parsed.ends_at, parsed.repeat)
    with session_scope() as session:
        silence = silences.draft(session, parsed.rule_id, dict(parsed.group), wanted, now)
        matched = silences.alerts_matched_by(session, silence)
        return json_response({"items": [alert_json(alert) for alert in matched]})


@router.get("/{silence_id}", response_model=ShownSilence, summary="Get a silence", dependencies=READ)
def get_silence(silence_id: SilenceId) -> Response:
    """Show a silence with the open alerts that it silences now."""
    with session_scope() as session:
        return resource_response(_show(session, silences.get(session, silence_id)), unversioned=VOLATILE_FIELDS)


@router.delete("/{silence_id}", status_code=204, summary="Delete a silence")
def delete_silence(caller: Writer, silence_id: SilenceId, expected: IfMatch) -> Response:
    """End a silence now. Alerts that it withheld and that still fire are sent."""
    with session_scope() as session:
        shown = _show(session, silences.get(session, silence_id))
        expected.check(shown, VOLATILE_FIELDS)
        silences.delete(session, silence_id)
        AuditedChange(session, caller, f"silence:{silence_id}", shown).record("silence.delete", None)
        return no_content()
