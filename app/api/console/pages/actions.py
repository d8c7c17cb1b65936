"""The list of actions with their recent results, and what a button does to one action."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console import action_form
from app.api.console.access import Admin, SignedIn
from app.api.console.filters import neighbours
from app.api.console.flash import Flash
from app.api.console.links import link
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.deps import settings_of
from app.api.lists import read_position
from app.api.schemas.actions import ActionFilters
from app.api.security import TESTS_PER_MINUTE
from app.database import session_scope
from app.models import Action, Delivery
from app.services import rule_admin
from app.services.outbox import actions, deliveries
from app.utils.clock import utc_now

router = make_router()
ActionId = Annotated[UUID, Path()]
PAGE_SIZE = 50
MAX_RULES = 1000
LATELY = timedelta(days=7)


@dataclass(frozen=True)
class _Row:
    """One line of the list."""

    action: Action
    recipients: list[str]
    last: Delivery | None
    succeeded: int
    finished: int


@router.get("/actions")
def list_actions(request: Request, viewer: SignedIn) -> Response:
    """List actions with their rules and the results of their deliveries."""
    query = ActionFilters(cursor=request.query_params.get("cursor"), limit=PAGE_SIZE)
    with session_scope() as session:
        page = actions.list_actions(session, read_position("actions", query, actions.SORT_KEY), PAGE_SIZE)
        ids = [action.id for action in page.items]
        last = deliveries.last_attempted(session, ids)
        counts = deliveries.count_finished(session, ids, utc_now() - LATELY)
        rules = list(rule_admin.list_rules(session, None, MAX_RULES).items)
        session.expunge_all()
    rows = [
        _Row(
            action,
            actions.masked_recipients(action, settings_of(request)),
            last.get(action.id),
            *counts.get(action.id, (0, 0)),
        )
        for action in page.items
    ]
    context = {
        "section": "actions",
        "rows": rows,
        "names": {rule.id: rule.name for rule in rules},
        "kinds": action_form.KINDS,
        "beside": neighbours("actions", query, page, "/actions"),
    }
    return render(request, viewer, "actions.html", context)


@router.post("/actions/{action_id}/enable")
def enable_action(request: Request, viewer: Admin, action_id: ActionId) -> Response:
    """Enable an action again."""
    with session_scope() as session:
        action = actions.get(session, action_id, lock=True)
        change = AuditedChange(
            session, viewer.principal, f"action:{action_id}", actions.to_audit_json(action, settings_of(request))
        )
        action, _ = actions.patch(session, action_id, {"enabled": True}, settings_of(request), utc_now())
        change.record("action.update", actions.to_audit_json(action, settings_of(request)))
    return redirect(request, f"/actions/{action_id}", Flash("It is enabled again. Send a test to see that it arrives."))


@router.post("/actions/{action_id}/test")
def test_action(request: Request, viewer: Admin, action_id: ActionId) -> Response:
    """Send a test now. The page shows the response of each receiver."""
    detail = "Too many tests in one minute: they reach real people; wait."
    request.app.state.limiter.hit(TESTS_PER_MINUTE, f"test:{viewer.principal.id}", detail)
    now = utc_now()
    actions.send_test(action_id, settings_of(request), now)
    with session_scope() as session:
        AuditedChange(session, viewer.principal, f"action:{action_id}").record("action.test", None)
    return redirect(request, link(f"/actions/{action_id}", tested=now) + "#test")


@router.post("/actions/{action_id}/delete")
def delete_action(request: Request, viewer: Admin, action_id: ActionId) -> Response:
    """Delete an action. Its pending deliveries fail."""
    with session_scope() as session:
        action = actions.get(session, action_id, lock=True)
        AuditedChange(
            session, viewer.principal, f"action:{action_id}", actions.to_audit_json(action, settings_of(request))
        ).record("action.delete", None)
        actions.delete(session, action_id, utc_now())
    return redirect(request, "/actions", Flash("The action is deleted."))
