"""People who sign in with the organization's own provider: list, sign out."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Request, Response

from app.api.audited_change import AuditedChange
from app.api.deps import settings_of
from app.api.lists import page_response, read_position
from app.api.responses import no_content
from app.api.routing import make_router
from app.api.schemas.common import EXAMPLE_ID
from app.api.schemas.people import PersonFilters, PersonPage
from app.api.security import ADMIN, Admin
from app.database import session_scope
from app.services import people
from app.services.people import person_json
from app.utils.clock import utc_now

router = make_router("People", prefix="/api/people")
PersonId = Annotated[UUID, Path(description="The person's id.", examples=[EXAMPLE_ID])]


@router.get("", response_model=PersonPage, summary="List people", dependencies=ADMIN)
def list_people(request: Request, query: Annotated[PersonFilters, Query()]) -> Response:
    """List the people who ever signed in to the console with the organization's own provider, the last first."""
    with session_scope() as session:
        page = people.list_people(session, read_position("people", query, people.SORT_KEY), query.limit)
        shown = list(map(person_json, people.describe(session, page.items, settings_of(request), utc_now())))
        return page_response("people", query, shown, page.older)


@router.delete("/{person_id}/sessions", status_code=204, summary="Sign out a person")
def sign_out(caller: Admin, person_id: PersonId) -> Response:
    """End all sessions of a person. They may sign in again while the provider and their groups let them."""
    with session_scope() as session:
        people.sign_out(session, person_id)
        AuditedChange(session, caller, f"person:{person_id}").record("person.sign_out", None)
        return no_content()
