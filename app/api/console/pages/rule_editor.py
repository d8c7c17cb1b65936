"""The editor of a rule: new, copied, from filters of logs, or stored; previewed and saved."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console import deleted, rule_form
from app.api.console.access import AnyScope, PostedForm, SignedIn, Viewer, Writer
from app.api.console.flash import Flash
from app.api.console.rendering import redirect
from app.api.console.routing import make_router
from app.api.console.rule_form import RuleForm
from app.api.console.rule_form_errors import errors_of, label_of
from app.api.console.rule_page import RulePage, StoredRule, other_rules, show_rule_page, stored_rule
from app.api.console.rule_preview import DEFAULT_SPAN, SPANS
from app.api.console.stale import Stale, differences, stale_page
from app.api.deps import settings_of
from app.api.schemas.common import UUID_PATTERN
from app.database import session_scope
from app.errors import InvalidInput, NotFound
from app.services import audit, rule_admin
from app.services.rules import definition
from app.services.rules.conditions.registry import CONDITION_TYPES
from app.services.rules.patterns import list_items
from app.services.serializers import rule_json
from app.utils.clock import utc_now

router = make_router()
RuleId = Annotated[UUID, Path()]
LOG_FILTERS = ("log_type", "status", "error_code", "q", *rule_form.FILTER_FIELDS)
"""Filters of the list of logs that a new rule can take over."""


@router.get("/rules/new")
def new_rule(request: Request, viewer: SignedIn) -> Response:
    """Show an empty form, a copy of a rule, a deleted rule, or a form that the address fills in."""
    query = request.query_params
    form = rule_form.from_body({})
    if copied := query.get("copy"):
        with session_scope() as session:
            body = definition.as_json(definition.from_row(rule_admin.get(session, _uuid(copied))))
        form = rule_form.from_body(body | {"name": f"{body['name'][:190]} (copy)"})
    elif deleted := query.get("deleted"):
        with session_scope() as session:
            entry = audit.find_deletion(session, f"rule:{_uuid(deleted)}")
            form = rule_form.from_body(entry.before or {}) if entry else form
    elif any(name in query for name in LOG_FILTERS):
        form = rule_form.filled_in(
            rule_form.from_body(_from_filters(query)),
            [(name, value) for name, value in query.multi_items() if name not in LOG_FILTERS],
        )
    return show_rule_page(request, viewer, RulePage(form))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


def _from_filters(query: Mapping[str, str]) -> dict[str, Any]:
    """Turn filters of logs into a rule's body."""
    kinds = list_items(query.get("log_type", ""))
    body: dict[str, Any] = {"log_type": kinds[0] if len(kinds) == 1 and kinds[0] else "any", "pattern_type": "any"}
    body["filters"] = {name: list_items(query[name]) for name in rule_form.FILTER_FIELDS if query.get(name)}
    code, status, words = query.get("error_code", ""), query.get("status", ""), query.get("q", "")
    if code and status:
        codes = ", ".join(item for item in list_items(code) if item.isdigit())
        statuses = ", ".join(f'"{item}"' for item in list_items(status))
        value = f"log.error_code in [{codes}] && log.status in [{statuses}]"
        return body | {"pattern_type": "expression", "pattern_value": value}
    for name, value in (("keyword", words), ("status", status), ("error_code", code)):
        if value:
            body |= {"pattern_type": name, "pattern_value": value}
    return body


@router.get("/rules/{rule_id}")
def show_rule(request: Request, viewer: SignedIn, rule_id: RuleId) -> Response:
    """Show a rule in its form, with its health."""
    with session_scope() as session:
        stored = stored_rule(session, rule_admin.get(session, rule_id), settings_of(request))
    back = _alert_path(request.query_params.get("back", ""))
    return show_rule_page(request, viewer, RulePage(rule_form.from_definition(stored.definition), stored, back=back))


def _alert_path(back: str) -> str:
    """Return the address of an alert's page; empty if it is none."""
    return back if re.fullmatch(f"/alerts/{UUID_PATTERN}", back) else ""


@router.post("/rules/preview")
def preview_rule(request: Request, viewer: AnyScope, form: PostedForm) -> Response:
    """Preview the rule in the form. Nothing is stored."""
    stored = None
    if form.get("id"):
        # A rule that was deleted meanwhile is tried as a new one.
        with suppress(NotFound), session_scope() as session:
            stored = stored_rule(session, rule_admin.get(session, _uuid(form.get("id"))), settings_of(request))
    span = form.get("span") if form.get("span") in SPANS else DEFAULT_SPAN
    page = RulePage(rule_form.from_post(form), stored, version=form.get("version"), span=span, run=True)
    return show_rule_page(request, viewer, page)


@router.post("/rules")
def create_rule(request: Request, viewer: Writer, form: PostedForm) -> Response:
    """Create a rule."""
    typed = rule_form.from_post(form)
    try:
        with session_scope() as session:
            rule = rule_admin.create(session, rule_form.to_body(typed), settings_of(request), utc_now())
            AuditedChange(session, viewer.principal, f"rule:{rule.id}").record("rule.create", rule_json(rule))
            name = rule.name
    except InvalidInput as error:
        return show_rule_page(request, viewer, RulePage(typed, errors=errors_of(typed, error.errors)), 422)
    return redirect(request, "/rules", Flash(f"“{name}” is saved. It evaluates changes from now on."))


@router.post("/rules/{rule_id}")
def save_rule(request: Request, viewer: Writer, rule_id: RuleId, form: PostedForm) -> Response:
    """Save an edited rule, unless somebody else saved it meanwhile."""
    if form.get("do") == "copy":
        return create_rule(request, viewer, form)
    typed, back = rule_form.from_post(form), _alert_path(form.get("back"))
    stored: StoredRule | None = None
    try:
        with session_scope() as session:
            rule = rule_admin.get(session, rule_id, lock=True)
            stored = stored_rule(session, rule, settings_of(request))
            if form.get("version") != stored.version:
                return _stale_page(request, viewer, typed, stored)
            change = AuditedChange(session, viewer.principal, f"rule:{rule_id}", rule_json(rule))
            rule = rule_admin.replace(session, rule_id, rule_form.to_body(typed), settings_of(request), utc_now())
            change.record("rule.update", rule_json(rule))
            restarted = definition.meaning_changed(stored.definition, definition.from_row(rule))
            name = rule.name
    except InvalidInput as error:
        errors = errors_of(typed, error.errors)
        return show_rule_page(request, viewer, RulePage(typed, stored, errors=errors, back=back), 422)
    except NotFound:
        return show_rule_page(request, viewer, RulePage(typed, deletion=deleted.find(request.url.path)), 409)
    more = " Its meaning changed: it counts from now on." if restarted else ""
    return redirect(request, back or "/rules", Flash(f"“{name}” is saved.{more}"))


def _stale_page(request: Request, viewer: Viewer, typed: RuleForm, stored: StoredRule) -> Response:
    """Show the other version next to the form's, and let the person choose."""
    # Through a body: fields that mean nothing, such as those of other conditions, do not differ.
    mine, theirs = rule_form.from_body(rule_form.to_body(typed)), rule_form.from_definition(stored.definition)
    labels = {name: label_of(_path(name)) for name in [*mine.fields, *theirs.fields]}
    names = dict(other_rules(typed, stored))
    found = differences(_shown_values(theirs, names), _shown_values(mine, names), labels)
    stale = Stale(
        section="rules",
        lists=("Rules", "/rules"),
        name=stored.definition.name,
        target=f"rule:{stored.id}",
        path=f"/rules/{stored.id}",
        fields=[("id", str(stored.id)), ("version", stored.version), *typed.pairs()],
        look_path="/rules/preview",
        differences=found,
    )
    return stale_page(request, viewer, stale)


def _shown_values(form: RuleForm, names: Mapping[str, str]) -> dict[str, str]:
    """Write each field for people: rules by their names, without the fields of conditions that are not chosen."""
    return {
        name: ", ".join(names.get(value, value) for value in values)
        for name, values in form.fields.items()
        if name.partition(".")[0] not in CONDITION_TYPES or name.partition(".")[0] == form.condition
    }


def _path(name: str) -> str:
    condition, _, field = name.partition(".")
    return field if condition in CONDITION_TYPES else name
