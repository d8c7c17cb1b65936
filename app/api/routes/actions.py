"""Actions: made, read, edited, deleted, and tried."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.api.answers import JsonObject, etag, gone, json_answer, resource
from app.api.changes import Change
from app.api.deps import IfMatch, JsonBody
from app.api.documents import body
from app.api.idempotency import OnlyOnce
from app.api.lists import answer_page
from app.api.routes.deliveries import detail as delivery_detail
from app.api.routing import make_router
from app.api.schemas.actions import Action as ShownAction
from app.api.schemas.actions import ActionBody, ActionFilters, ActionPage
from app.api.schemas.common import EXAMPLE_ID
from app.api.schemas.deliveries import TestResult
from app.api.security import READ, TESTS_PER_MINUTE, Admin
from app.config import get_settings
from app.database import session_scope
from app.models import Action
from app.services import audit
from app.services.outbox import actions
from app.utils.clock import rfc3339, utc_now
from app.utils.crypto import Undecryptable

router = make_router("Actions", prefix="/api/actions")
ActionId = Annotated[UUID, Path(description="The action's id.", examples=[EXAMPLE_ID])]
PLACE = (Action.created_at, Action.id)


def action_json(action: Action, config: JsonObject | None = None) -> JsonObject:
    """Show one action, its secrets masked, unless a config is given to be shown in its stead."""
    return {
        "id": str(action.id),
        "rule_id": None if action.rule_id is None else str(action.rule_id),
        "action_type": action.action_type,
        "enabled": action.enabled,
        "min_severity": action.min_severity,
        "notify_on": action.notify_on,
        "config": actions.masked_config(action) if config is None else config,
        "disabled_reason": action.disabled_reason,
        "created_at": rfc3339(action.created_at),
        "updated_at": rfc3339(action.updated_at),
    }


def _audited(action: Action) -> JsonObject:
    shown = action_json(action)
    try:
        clear = actions.config_of(action)
    except Undecryptable:  # no key opens it any more: nothing is shown, and nothing told
        return shown
    return shown | {"config": audit.fingerprinted(get_settings().secret_keys, clear, shown["config"])}


def _answer(action: Action, config: JsonObject, status: int = 200) -> Response:
    """Answer with an action, a new secret in clear; the tag is that of the action as it will be read."""
    return json_answer(action_json(action, config), status, {"ETag": etag(action_json(action))})


@router.get("", response_model=ActionPage, summary="List actions", dependencies=READ)
def list_actions(query: Annotated[ActionFilters, Query()]) -> Response:
    """List actions, newest first. Secrets are masked."""
    statement = select(Action.id, Action.created_at, Action)
    with session_scope() as session:
        return answer_page(session, "actions", statement, PLACE, query, lambda row: action_json(row.Action))


@router.post("", status_code=201, response_model=ShownAction, summary="Make an action", openapi_extra=body(ActionBody))
def create_action(caller: Admin, sent: JsonBody, once: OnlyOnce) -> Response:
    """Make an action. The secret of a webhook comes in clear here, and never again."""

    def effect(session: Session) -> Response:
        action, config = actions.create(session, sent, utc_now())
        Change(session, caller, f"action:{action.id}").made("action.create", _audited(action))
        return _answer(action, config, 201)

    return once.run(caller.id, effect)


@router.get("/{action_id}", response_model=ShownAction, summary="Read one action", dependencies=READ)
def get_action(action_id: ActionId) -> Response:
    """Show an action. Secrets are masked."""
    with session_scope() as session:
        return resource(action_json(actions.get(session, action_id)))


@router.put("/{action_id}", response_model=ShownAction, summary="Replace an action", openapi_extra=body(ActionBody))
def replace_action(caller: Admin, action_id: ActionId, sent: JsonBody, expected: IfMatch) -> Response:
    """Replace an action whole. A masked secret that is sent back keeps the stored one."""
    with session_scope() as session:
        action = actions.get(session, action_id, lock=True)
        expected.check(action_json(action))
        change = Change(session, caller, f"action:{action_id}", _audited(action))
        action, config = actions.replace(session, action_id, sent, utc_now())
        change.made("action.update", _audited(action))
        return _answer(action, config)


@router.patch(
    "/{action_id}", response_model=ShownAction, summary="Edit an action", openapi_extra=body(ActionBody, partly=True)
)
def edit_action(caller: Admin, action_id: ActionId, sent: JsonBody, expected: IfMatch) -> Response:
    """Change some fields of an action; `config` is replaced whole, but a masked secret keeps the stored one."""
    with session_scope() as session:
        action = actions.get(session, action_id, lock=True)
        expected.check(action_json(action))
        change = Change(session, caller, f"action:{action_id}", _audited(action))
        action, config = actions.patch(session, action_id, sent, utc_now())
        change.made("action.update", _audited(action))
        return _answer(action, config)


@router.delete("/{action_id}", status_code=204, summary="Delete an action")
def delete_action(caller: Admin, action_id: ActionId, expected: IfMatch) -> Response:
    """Delete an action. What is still owed through it fails, and says why."""
    with session_scope() as session:
        action = actions.get(session, action_id, lock=True)
        expected.check(action_json(action))
        Change(session, caller, f"action:{action_id}", _audited(action)).made("action.delete", None)
        actions.delete(session, action_id, utc_now())
        return gone()


@router.post("/{action_id}/test", response_model=TestResult, summary="Try an action")
def test_action(request: Request, caller: Admin, action_id: ActionId, once: OnlyOnce) -> Response:
    """Send a test now, and answer with its deliveries, whatever became of them."""
    request.app.state.limiter.hit(
        TESTS_PER_MINUTE, f"test:{caller.id}", "Too many tests in one minute: they reach real people; wait."
    )

    def effect(session: Session) -> Response:
        with session_scope() as reading:
            actions.get(reading, action_id)
        ids = actions.test(action_id, utc_now())
        Change(session, caller, f"action:{action_id}").made("action.test", None)
        return json_answer({"deliveries": [delivery_detail(session, each) for each in ids]})

    return once.run(caller.id, effect)
