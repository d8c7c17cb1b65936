"""Keys of the API: made, listed, revoked."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session

from app.api.answers import gone, json_answer
from app.api.changes import Change
from app.api.deps import IfMatch, JsonBody, parse
from app.api.documents import body
from app.api.idempotency import OnlyOnce
from app.api.lists import answer_page, read_position
from app.api.routing import make_router
from app.api.schemas.common import EXAMPLE_ID
from app.api.schemas.keys import KeyBody, KeyFilters, KeyPage, NewKey
from app.api.security import ADMIN, Admin
from app.database import session_scope
from app.services import keys
from app.services.snapshots import key_json
from app.utils.clock import utc_now

router = make_router("Keys", prefix="/api/keys")
KeyId = Annotated[UUID, Path(description="The key's id.", examples=[EXAMPLE_ID])]
UNVERSIONED = ("last_used_at",)


@router.get("", response_model=KeyPage, summary="List keys", dependencies=ADMIN)
def list_keys(query: Annotated[KeyFilters, Query()]) -> Response:
    """List the keys that are not revoked, newest first."""
    with session_scope() as session:
        page = keys.list_keys(session, read_position("keys", query, keys.SORT_KEY), query.limit)
        return answer_page("keys", query, [key_json(key) for key in page.items], page.older)


@router.post("", status_code=201, response_model=NewKey, summary="Make a key", openapi_extra=body(KeyBody))
def create_key(caller: Admin, sent: JsonBody, once: OnlyOnce) -> Response:
    """Make a key. It is shown in this answer alone; only its hash is stored."""
    wanted = parse(KeyBody, sent)

    def effect(session: Session) -> Response:
        key, clear = keys.create(session, wanted.name, wanted.scope, utc_now())
        Change(session, caller, f"key:{key.id}").made("key.create", key_json(key))
        return json_answer(key_json(key) | {"key": clear}, 201)

    return once.run(caller.id, effect)


@router.delete("/{key_id}", status_code=204, summary="Revoke a key")
def delete_key(caller: Admin, key_id: KeyId, expected: IfMatch) -> Response:
    """Make a key useless from the next request on."""
    with session_scope() as session:
        shown = key_json(keys.get(session, key_id, lock=True))
        expected.check(shown, UNVERSIONED)
        keys.revoke(session, key_id, utc_now())
        Change(session, caller, f"key:{key_id}", shown).made("key.revoke", None)
        return gone()
