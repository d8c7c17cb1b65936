"""Rules: create, read, edit, delete, preview."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange, delete_audited
from app.api.deps import AppSettings, IfMatch, JsonBody
from app.api.idempotency import Idempotent
from app.api.lists import page_response, read_position
from app.api.openapi import body
from app.api.responses import json_response, no_content, resource_response
from app.api.routing import make_router
from app.api.schemas.common import EXAMPLE_ID
from app.api.schemas.rule_previews import Preview, PreviewBody
from app.api.schemas.rules import RuleBody, RuleDetail, RuleFilters, RulePage
from app.api.security import READ, Writer
from app.config import Settings
from app.database import session_scope
from app.models import Rule
from app.services import rule_admin
from app.services.preview.service import preview
from app.services.serializers import rule_json
from app.utils.clock import utc_now

router = make_router("Rules", prefix="/api/rules")
Operation = Callable[[Session, UUID, Any, Settings, datetime], Rule]
RuleId = Annotated[UUID, Path(description="The rule's id.", examples=[EXAMPLE_ID])]


def _answer(session: Session, rule: Rule, settings: Settings, status: int = 200) -> Response:
    return resource_response(
        rule_admin.detail_json(session, rule, settings), status, unversioned=rule_admin.HEALTH_FIELDS
    )


@router.get("", response_model=RulePage, summary="List rules", dependencies=READ)
def list_rules(query: Annotated[RuleFilters, Query()]) -> Response:
    """List rules, newest first."""
    with session_scope() as session:
        page = rule_admin.list_rules(session, read_position("rules", query, rule_admin.SORT_KEY), query.limit)
        return page_response("rules", query, [rule_json(rule) for rule in page.items], page.older)


@router.post("", status_code=201, response_model=RuleDetail, summary="Create a rule", openapi_extra=body(RuleBody))
def create_rule(caller: Writer, sent: JsonBody, once: Idempotent, settings: AppSettings) -> Response:
    """Create a rule. It evaluates changes from now on."""

    def effect(session: Session) -> Response:
        rule = rule_admin.create(session, sent, settings, utc_now())
        AuditedChange(session, caller, f"rule:{rule.id}").record("rule.create", rule_json(rule))
        return _answer(session, rule, settings, 201)

    return once.run(caller.id, effect)


@router.post(
    "/preview",
    response_model=Preview,
    summary="Preview a rule",
    openapi_extra=body(PreviewBody),
    dependencies=READ,
)
def preview_rule(sent: JsonBody, settings: AppSettings) -> Response:
    """Show the alerts a rule would have opened over a span of stored logs. Nothing is stored or sent."""
    with session_scope() as session:
        return json_response(preview(session, sent, settings, utc_now()))


@router.get("/{rule_id}", response_model=RuleDetail, summary="Get a rule", dependencies=READ)
def get_rule(rule_id: RuleId, settings: AppSettings) -> Response:
    """Show a rule and its health."""
    with session_scope() as session:
        return _answer(session, rule_admin.get(session, rule_id), settings)


@router.put("/{rule_id}", response_model=RuleDetail, summary="Replace a rule", openapi_extra=body(RuleBody))
def replace_rule(caller: Writer, rule_id: RuleId, sent: JsonBody, expected: IfMatch, settings: AppSettings) -> Response:
    """Replace a rule. Read-only fields are ignored.

    Editing what the rule means (its population, pattern, condition, groups or schedule) resolves its open alerts and
    restarts the rule.
    """
    return _edit(caller, rule_id, sent, expected, settings, rule_admin.replace)


@router.patch(
    "/{rule_id}", response_model=RuleDetail, summary="Update a rule", openapi_extra=body(RuleBody, partly=True)
)
def edit_rule(caller: Writer, rule_id: RuleId, sent: JsonBody, expected: IfMatch, settings: AppSettings) -> Response:
    """Update some fields of a rule. Objects and lists are replaced as a whole."""
    return _edit(caller, rule_id, sent, expected, settings, rule_admin.patch)


def _edit(
    caller: Writer, rule_id: UUID, sent: Any, expected: IfMatch, settings: Settings, operation: Operation
) -> Response:
    with session_scope() as session:
        rule = rule_admin.get(session, rule_id, lock=True)
        expected.check(rule_admin.detail_json(session, rule, settings), rule_admin.HEALTH_FIELDS)
        change = AuditedChange(session, caller, f"rule:{rule_id}", rule_json(rule))
        rule = operation(session, rule_id, sent, settings, utc_now())
        change.record("rule.update", rule_json(rule))
        return _answer(session, rule, settings)


@router.delete("/{rule_id}", status_code=204, summary="Delete a rule")
def delete_rule(caller: Writer, rule_id: RuleId, expected: IfMatch, settings: AppSettings) -> Response:
    """Delete a rule. Its open alerts are resolved; its alerts are kept."""
    with session_scope() as session:
        rule = rule_admin.get(session, rule_id, lock=True)
        expected.check(rule_admin.detail_json(session, rule, settings), rule_admin.HEALTH_FIELDS)
        delete_audited(session, caller, rule, settings)
        return no_content()
