"""People who sign in with the organization's own provider: who may do what, and signing them out."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console.access import Admin, SignedIn, need_scope
from app.api.console.filters import neighbours
from app.api.console.flash import Flash
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.deps import settings_of
from app.api.lists import read_position
from app.api.schemas.people import PersonFilters
from app.database import session_scope
from app.enums import Scope
from app.services import people
from app.utils.clock import utc_now

router = make_router()
PersonId = Annotated[UUID, Path()]
PAGE_SIZE = 50


@router.get("/people")
def list_people(request: Request, viewer: SignedIn) -> Response:
    """List the people who ever signed in, the last sign-in first."""
    need_scope(viewer, Scope.ADMIN)
    query, settings = PersonFilters(cursor=request.query_params.get("cursor"), limit=PAGE_SIZE), settings_of(request)
    with session_scope() as session:
        page = people.list_people(session, read_position("people", query, people.SORT_KEY), PAGE_SIZE)
        shown = people.describe(session, page.items, settings, utc_now())
    context = {
        "section": "keys",
        "people": shown,
        "provider": request.app.state.provider,
        "grants": people.grants(settings),
        "beside": neighbours("people", query, page, "/people"),
    }
    return render(request, viewer, "people.html", context)


@router.post("/people/{person_id}/sign-out")
def sign_out(request: Request, viewer: Admin, person_id: PersonId) -> Response:
    """End all sessions of a person."""
    with session_scope() as session:
        name = people.display_name(people.sign_out(session, person_id))
        AuditedChange(session, viewer.principal, f"person:{person_id}").record("person.sign_out", None)
    return redirect(request, "/people", Flash(f"{name} is signed out everywhere."))
