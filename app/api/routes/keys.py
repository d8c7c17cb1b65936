"""API keys: create, list, revoke."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange
from app.api.deps import IfMatch, JsonBody, parse
from app.api.idempotency import Idempotent
from app.api.lists import page_response, read_position
from app.api.openapi import body
from app.api.responses import json_response, no_content
from app.api.routing import make_router
from app.api.schemas.common import EXAMPLE_ID
from app.api.schemas.keys import KeyBody, KeyFilters, KeyPage, NewKey
from app.api.security import ADMIN, Admin
from app.database import session_scope
from app.services import console_sessions, keys
from app.services.serializers import key_json, listed_key_json
from app.utils.clock import utc_now

router = make_router("Keys", prefix="/api/keys")
KeyId = Annotated[UUID, Path(description="The key's id.", examples=[EXAMPLE_ID])]
VOLATILE_FIELDS = ("last_used_at",)


@router.get("", response_model=KeyPage, summary="List API keys", dependencies=ADMIN)
def list_keys(query: Annotated[KeyFilters, Query()]) -> Response:
    """List the keys that are not revoked, newest first, with who is signed in to the console by each."""
    with session_scope() as session:
        page = keys.list_keys(session, read_position("keys", query, keys.SORT_KEY), query.limit)
        sessions = console_sessions.open_sessions(session, [str(key.id) for key in page.items], utc_now())
        shown = [listed_key_json(key, sessions[str(key.id)]) for key in page.items]
        return page_response("keys", query, shown, page.older)


@router.post("", status_code=201, response_model=NewKey, summary="Create an API key", openapi_extra=body(KeyBody))
def create_key(caller: Admin, sent: JsonBody, once: Idempotent) -> Response:
    """Create an API key. The key is shown only in this response; GiftPulse stores its hash."""
    parsed = parse(KeyBody, sent)

    def effect(session: Session) -> Response:
        key, clear = keys.create(session, parsed.name, parsed.scope, utc_now())
        AuditedChange(session, caller, f"key:{key.id}").record("key.create", key_json(key))
        return json_response(key_json(key) | {"key": clear}, 201)

    return once.run(caller.id, effect)


@router.delete("/{key_id}", status_code=204, summary="Revoke an API key")
def delete_key(caller: Admin, key_id: KeyId, expected: IfMatch) -> Response:
    """Revoke an API key. The next request with it is rejected."""
    with session_scope() as session:
        shown = key_json(keys.get(session, key_id, lock=True))
        expected.check(shown, VOLATILE_FIELDS)
        keys.revoke(session, key_id, utc_now())
        AuditedChange(session, caller, f"key:{key_id}", shown).record("key.revoke", None)
        return no_content()
