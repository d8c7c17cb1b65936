"""API keys: created, listed, revoked. A key is shown once."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console.access import Admin, PostedForm, SignedIn, need_scope
from app.api.console.filters import neighbours
from app.api.console.flash import Flash
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.deps import parse
from app.api.lists import read_position
from app.api.schemas.keys import KeyBody, KeyFilters
from app.database import session_scope
from app.enums import Scope
from app.errors import InvalidInput
from app.services import console_sessions, keys
from app.services.serializers import key_json
from app.utils.clock import utc_now

router = make_router()
KeyId = Annotated[UUID, Path()]
PAGE_SIZE = 50


def _page(
    request: Request,
    viewer: SignedIn,
    *,
    made: tuple[str, str] | None = None,
    typed: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    query = KeyFilters(cursor=request.query_params.get("cursor"), limit=PAGE_SIZE)
    with session_scope() as session:
        page = keys.list_keys(session, read_position("keys", query, keys.SORT_KEY), PAGE_SIZE)
        sessions = console_sessions.open_sessions(session, [str(key.id) for key in page.items], utc_now())
        session.expunge_all()
    context = {
        "section": "keys",
        "keys": page.items,
        "sessions": sessions,
        "made": made,
        "typed": typed or {},
        "errors": errors or {},
        "scopes": list(Scope),
        "provider": request.app.state.provider,
        "beside": neighbours("keys", query, page, "/keys"),
    }
    return render(request, viewer, "keys.html", context, status)


@router.get("/keys")
def list_keys(request: Request, viewer: SignedIn) -> Response:
    """List the keys that are not revoked."""
    need_scope(viewer, Scope.ADMIN)
    return _page(request, viewer)


@router.post("/keys")
def create_key(request: Request, viewer: Admin, form: PostedForm) -> Response:
    """Create a key and show it, this once."""
    try:
        wanted = parse(KeyBody, {"name": form.get("name"), "scope": form.get("scope")})
    except InvalidInput as error:
        errors = {each.field: each.message for each in error.errors}
        return _page(request, viewer, typed=dict(form.typed()), errors=errors, status=422)
    with session_scope() as session:
        key, clear = keys.create(session, wanted.name, wanted.scope, utc_now())
        AuditedChange(session, viewer.principal, f"key:{key.id}").record("key.create", key_json(key))
    # No redirect: the key exists in this answer alone.
    return _page(request, viewer, made=(wanted.name, clear))


@router.post("/keys/{key_id}/revoke")
def revoke_key(request: Request, viewer: Admin, key_id: KeyId) -> Response:
    """Revoke a key. Sessions that were made from it end."""
    with session_scope() as session:
        shown = key_json(keys.get(session, key_id, lock=True))
        ended = console_sessions.open_sessions(session, [str(key_id)], utc_now())[str(key_id)]
        people = ", ".join(dict.fromkeys(each.name for each in ended))
        keys.revoke(session, key_id, utc_now())
        AuditedChange(session, viewer.principal, f"key:{key_id}", shown).record("key.revoke", None)
    text = f"Signed out: {people}." if people else "Nobody was signed in with it."
    return redirect(request, "/keys", Flash(f"{shown['name']} is revoked. {text}"))
