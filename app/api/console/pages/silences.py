"""Silences: which alerts notify nobody, until when."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console.access import PostedForm, SignedIn, Writer
from app.api.console.filters import neighbours
from app.api.console.rendering import Flash, redirect, render
from app.api.console.routing import make_router
from app.api.lists import read_position
from app.api.schemas.silences import SilenceFilters
from app.database import session_scope
from app.errors import InvalidInput
from app.services import rule_admin
from app.services.alerts import silences
from app.services.rules.fields import GROUP_FIELDS
from app.utils.clock import utc_now

router = make_router()
SilenceId = Annotated[UUID, Path()]
PAGE_SIZE = 50
MAX_RULES = 1000
LENGTHS = {"1": "an hour", "8": "8 hours", "24": "a day", "168": "a week"}
"""Hours, and how they are called."""


@router.get("/silences")
def list_silences(request: Request, viewer: SignedIn) -> Response:
    """List silences, with how many alerts each holds now."""
    return _page(request, viewer, {}, {})


def _page(
    request: Request, viewer: SignedIn, typed: dict[str, str], errors: dict[str, str], status: int = 200
) -> Response:
    query = SilenceFilters(cursor=request.query_params.get("cursor"), limit=PAGE_SIZE)
    now = utc_now()
    with session_scope() as session:
        page = silences.list_silences(session, read_position("silences", query, silences.SORT_KEY), PAGE_SIZE)
        held = silences.silenced_alerts(session, page.items, now)
        rules = list(rule_admin.list_rules(session, None, MAX_RULES).items)
        session.expunge_all()
    context = {
        "section": "silences",
        "silences": page.items,
        "held": held,
        "rules": sorted(rules, key=lambda rule: rule.name.lower()),
        "names": {rule.id: rule.name for rule in rules},
        "fields": GROUP_FIELDS,
        "lengths": LENGTHS,
        "typed": {"hours": "1", **typed},
        "errors": errors,
        "beside": neighbours("silences", query, page, "/silences"),
    }
    return render(request, viewer, "silences.html", context, status)


@router.post("/silences")
def create_silence(request: Request, viewer: Writer, form: PostedForm) -> Response:
    """Create a silence that starts now."""
    now = utc_now()
    hours = form.get("hours")
    group: dict[str, object] = {}
    field, value = form.get("field"), form.get("value")
    if field in GROUP_FIELDS and value:
        group[field] = int(value) if field == "error_code" and value.isdigit() else value
    try:
        with session_scope() as session:
            silence = silences.create(
                session,
                UUID(form.get("rule_id")) if form.get("rule_id") else None,
                group,
                now,
                now + timedelta(hours=int(hours) if hours in LENGTHS else 1),
                form.get("reason"),
                viewer.principal.name,
                now,
            )
            shown = silences.to_json(session, [silence], now)[0]
            AuditedChange(session, viewer.principal, f"silence:{silence.id}").record("silence.create", shown)
    except (InvalidInput, ValueError) as error:
        errors = {each.field: each.message for each in error.errors} if isinstance(error, InvalidInput) else {}
        return _page(request, viewer, dict(form.typed()), errors or {"rule_id": "is not a rule"}, 422)
    return redirect(request, "/silences", Flash(f"It holds {len(shown['alert_ids'])} open alerts now."))


@router.post("/silences/{silence_id}/end")
def end_silence(request: Request, viewer: Writer, silence_id: SilenceId) -> Response:
    """End a silence now."""
    with session_scope() as session:
        shown = silences.to_json(session, [silences.get(session, silence_id)], utc_now())[0]
        silences.delete(session, silence_id)
        AuditedChange(session, viewer.principal, f"silence:{silence_id}", shown).record("silence.delete", None)
    return redirect(request, "/silences", Flash("The silence has ended. What still fires is sent in a moment."))
