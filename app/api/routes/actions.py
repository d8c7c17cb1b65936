"""Actions: create, read, edit, delete, test."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query, Request, Response
from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange
from app.api.deps import AppSettings, IfMatch, JsonBody
from app.api.idempotency import Idempotent
from app.api.lists import page_response, read_position
from app.api.openapi import body
from app.api.responses import etag, json_response, no_content, resource_response
from app.api.routing import make_router
from app.api.schemas.actions import Action as ShownAction
from app.api.schemas.actions import ActionBody, ActionFilters, ActionPage
from app.api.schemas.common import EXAMPLE_ID
from app.api.schemas.deliveries import TestResult
from app.api.security import READ, TESTS_PER_MINUTE, Admin
from app.config import Settings
from app.database import session_scope
from app.models import Action
from app.services.outbox import actions, deliveries
from app.utils.clock import utc_now
from app.utils.json_types import JsonObject

router = make_router("Actions", prefix="/api/actions")
Operation = Callable[[Session, UUID, Any, Settings, datetime], tuple[Action, JsonObject]]
ActionId = Annotated[UUID, Path(description="The action's id.", examples=[EXAMPLE_ID])]


def _answer(action: Action, config: JsonObject, settings: Settings, status: int = 200) -> Response:
    """Build the response, with a new secret in clear. The `ETag` is that of the masked action that reads show."""
    return json_response(
        actions.to_json(action, settings, config), status, {"ETag": etag(actions.to_json(action, settings))}
    )


@router.get("", response_model=ActionPage, summary="List actions", dependencies=READ)
def list_actions(query: Annotated[ActionFilters, Query()], settings: AppSettings) -> Response:
    """List actions, newest first. Secrets are masked."""
    with session_scope() as session:
        page = actions.list_actions(session, read_position("actions", query, actions.SORT_KEY), query.limit)
        return page_response("actions", query, [actions.to_json(action, settings) for action in page.items], page.older)


@router.post(
    "", status_code=201, response_model=ShownAction, summary="Create an action", openapi_extra=body(ActionBody)
)
def create_action(caller: Admin, sent: JsonBody, once: Idempotent, settings: AppSettings) -> Response:
    """Create an action. This is the only response that shows a generated webhook secret in clear."""

    def effect(session: Session) -> Response:
        action, config = actions.create(session, sent, settings, utc_now())
        AuditedChange(session, caller, f"action:{action.id}").record(
            "action.create", actions.to_audit_json(action, settings)
        )
        return _answer(action, config, settings, 201)

    return once.run(caller.id, effect)


@router.get("/{action_id}", response_model=ShownAction, summary="Get an action", dependencies=READ)
def get_action(action_id: ActionId, settings: AppSettings) -> Response:
    """Show an action. Secrets are masked."""
    with session_scope() as session:
        return resource_response(actions.to_json(actions.get(session, action_id), settings))


@router.put("/{action_id}", response_model=ShownAction, summary="Replace an action", openapi_extra=body(ActionBody))
def replace_action(
    caller: Admin, action_id: ActionId, sent: JsonBody, expected: IfMatch, settings: AppSettings
) -> Response:
    """Replace an action. Sending a masked secret keeps the stored one."""
    return _edit(caller, action_id, sent, expected, settings, actions.replace)


@router.patch(
    "/{action_id}", response_model=ShownAction, summary="Update an action", openapi_extra=body(ActionBody, partly=True)
)
def edit_action(
    caller: Admin, action_id: ActionId, sent: JsonBody, expected: IfMatch, settings: AppSettings
) -> Response:
    """Update some fields of an action. `config` is replaced as a whole; a masked secret in it keeps the stored one."""
    return _edit(caller, action_id, sent, expected, settings, actions.patch)


def _edit(
    caller: Admin, action_id: UUID, sent: Any, expected: IfMatch, settings: Settings, operation: Operation
) -> Response:
    with session_scope() as session:
        action = actions.get(session, action_id, lock=True)
        expected.check(actions.to_json(action, settings))
        change = AuditedChange(session, caller, f"action:{action_id}", actions.to_audit_json(action, settings))
        action, config = operation(session, action_id, sent, settings, utc_now())
        change.record("action.update", actions.to_audit_json(action, settings))
        return _answer(action, config, settings)


@router.delete("/{action_id}", status_code=204, summary="Delete an action")
def delete_action(caller: Admin, action_id: ActionId, expected: IfMatch, settings: AppSettings) -> Response:
    """Delete an action. Its pending deliveries fail; each records the reason."""
    with session_scope() as session:
        action = actions.get(session, action_id, lock=True)
        expected.check(actions.to_json(action, settings))
        AuditedChange(session, caller, f"action:{action_id}", actions.to_audit_json(action, settings)).record(
            "action.delete", None
        )
        actions.delete(session, action_id, utc_now())
        return no_content()


@router.post("/{action_id}/test", response_model=TestResult, summary="Send a test notification")
def test_action(
    request: Request, caller: Admin, action_id: ActionId, once: Idempotent, settings: AppSettings
) -> Response:
    """Send a test notification now. The response lists its deliveries, successful or not."""
    request.app.state.limiter.hit(
        TESTS_PER_MINUTE, f"test:{caller.id}", "Too many tests in one minute: tests reach real people; wait."
    )

    def effect() -> Response:
        ids = actions.send_test(action_id, settings, utc_now())
        with session_scope() as session:
            AuditedChange(session, caller, f"action:{action_id}").record("action.test", None)
            return json_response({"deliveries": [deliveries.detail_json(session, each) for each in ids]})

    return once.run_without_transaction(caller.id, effect)
