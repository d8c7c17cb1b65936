"""The editor of a rule: a form in four steps, and next to it a preview."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request, Response
from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange
from app.api.console import deleted, rule_form
from app.api.console.access import AnyScope, PostedForm, SignedIn, Viewer, Writer
from app.api.console.deleted import Deletion
from app.api.console.rendering import Flash, redirect, render
from app.api.console.routing import make_router
from app.api.console.rule_form import FormError, RuleForm
from app.api.console.rule_preview import DEFAULT_SPAN, PREVIEWS, SPAN_WORDS, SPANS, ShownPreview, show
from app.api.console.stale import Stale, differences, stale_page
from app.api.deps import settings_of
from app.api.responses import etag
from app.api.schemas.common import UUID_PATTERN
from app.config import Settings
from app.database import session_scope
from app.enums import PatternType, Severity
from app.errors import InvalidInput, NotFound
from app.models import Rule
from app.services import audit, rule_admin, rule_checks
from app.services.alerts.sentence import DAYS, describe_rule
from app.services.outbox import actions
from app.services.preview.samples import Sample, sample
from app.services.rules import definition
from app.services.rules.conditions.registry import CONDITION_TYPES
from app.services.rules.definition import RuleDefinition
from app.services.rules.fields import GROUP_FIELDS
from app.services.rules.patterns import list_items
from app.services.rules.words import NEW_VALUE_NAMES
from app.services.serializers import rule_json
from app.services.twilio.error_codes import ErrorCode, describe
from app.services.twilio.vocabulary import DIRECTIONS
from app.utils.clock import utc_now
from app.utils.zones import zone_names

router = make_router()
RuleId = Annotated[UUID, Path()]
MAX_ACTIONS = 1000
MAX_NAMED_CODES = 6
ALL_DIRECTIONS = sorted({direction for known in DIRECTIONS.values() for direction in known})
DETAILS = ("description", "schedule.start", "schedule.end", "schedule.days", "depends_on")
MAX_RULES = 1000
LOG_FILTERS = ("log_type", "status", "error_code", "q", *rule_form.FILTER_FIELDS)
"""Filters of the list of logs that a new rule can take over."""


@dataclass(frozen=True)
class Stored:
    """The stored rule that is being edited."""

    id: UUID
    definition: RuleDefinition
    version: str
    health: Mapping[str, Any]


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
    return _page(request, viewer, form, None)


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
        stored = _stored(session, rule_admin.get(session, rule_id), settings_of(request))
    back = request.query_params.get("back", "")
    return _page(request, viewer, rule_form.from_definition(stored.definition), stored, back=back)


def _stored(session: Session, rule: Rule, settings: Settings) -> Stored:
    shown = rule_admin.detail_json(session, rule, settings)
    return Stored(
        rule.id,
        definition.from_row(rule),
        etag(shown, rule_admin.HEALTH_FIELDS),
        rule_admin.health(session, rule, settings),
    )


@router.post("/rules/preview")
def preview_rule(request: Request, viewer: AnyScope, form: PostedForm) -> Response:
    """Preview the rule in the form. Nothing is stored."""
    typed = rule_form.from_post(form)
    stored = None
    if form.get("id"):
        # A rule that was deleted meanwhile is tried as a new one.
        with suppress(NotFound), session_scope() as session:
            stored = _stored(session, rule_admin.get(session, _uuid(form.get("id"))), settings_of(request))
    version = form.get("version")
    return _page(request, viewer, typed, stored, version=version, span=form.get("span"), run=True)


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
        return _page(request, viewer, typed, None, errors=rule_form.errors_of(typed, error.errors), status=422)
    return redirect(request, "/rules", Flash(f"“{name}” is saved. It evaluates changes from now on."))


@router.post("/rules/{rule_id}")
def save_rule(request: Request, viewer: Writer, rule_id: RuleId, form: PostedForm) -> Response:
    """Save an edited rule, unless somebody else saved it meanwhile."""
    if form.get("do") == "copy":
        return create_rule(request, viewer, form)
    typed = rule_form.from_post(form)
    stored: Stored | None = None
    try:
        with session_scope() as session:
            rule = rule_admin.get(session, rule_id, lock=True)
            stored = _stored(session, rule, settings_of(request))
            if form.get("version") != stored.version:
                return _stale_page(request, viewer, typed, stored)
            change = AuditedChange(session, viewer.principal, f"rule:{rule_id}", rule_json(rule))
            rule = rule_admin.replace(session, rule_id, rule_form.to_body(typed), settings_of(request), utc_now())
            change.record("rule.update", rule_json(rule))
            restarted = definition.meaning_changed(stored.definition, definition.from_row(rule))
            name = rule.name
    except InvalidInput as error:
        faults, back = rule_form.errors_of(typed, error.errors), form.get("back")
        return _page(request, viewer, typed, stored, errors=faults, status=422, back=back)
    except NotFound:
        return _page(request, viewer, typed, None, deletion=deleted.find(request.url.path), status=409)
    more = " Its meaning changed: it counts from now on." if restarted else ""
    return redirect(request, _alert_path(form.get("back")) or "/rules", Flash(f"“{name}” is saved.{more}"))


def _alert_path(back: str) -> str:
    """Return the address of an alert's page; empty if it is none."""
    return back if re.fullmatch(f"/alerts/{UUID_PATTERN}", back) else ""


def _stale_page(request: Request, viewer: Viewer, typed: RuleForm, stored: Stored) -> Response:
    """Show the other version next to the form's, and let the person choose."""
    # Through a body: fields that mean nothing, such as those of other conditions, do not differ.
    mine, theirs = rule_form.from_body(rule_form.to_body(typed)), rule_form.from_definition(stored.definition)
    labels = {name: rule_form.label_of(_path(name)) for name in [*mine.fields, *theirs.fields]}
    names = dict(_other_rules(typed, stored))
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


def _page(
    request: Request,
    viewer: Viewer,
    form: RuleForm,
    stored: Stored | None,
    *,
    errors: Sequence[FormError] = (),
    version: str = "",
    span: str = "",
    run: bool = False,
    deletion: Deletion | None = None,
    status: int = 200,
    back: str = "",
) -> Response:
    """Show the form. `run` adds the preview; saving leads to `back`, an alert's page, if given."""
    span = span if span in SPANS else DEFAULT_SPAN
    body = rule_form.to_body(form)
    wanted, faults = _parse(body, form, settings_of(request))
    shown: ShownPreview | None = None
    refusal = ""
    fragment = request.headers.get("x-fragment", "")
    if run and wanted is not None and fragment in ("", "preview"):
        try:
            sent = body if stored is None else body | {"id": str(stored.id)}
            shown = show(viewer, wanted, PREVIEWS.get(sent, span, settings_of(request), ladder=True), span)
        except InvalidInput as error:
            faults = rule_form.errors_of(form, [each for each in error.errors if each.field != "since"])
            refusal = "; ".join(f"The span {each.message}." for each in error.errors if each.field == "since")
    context = {
        "section": "rules",
        "form": form,
        "stored": stored,
        "version": version or (stored.version if stored else ""),
        "errors": {error.field: error.text for error in reversed(errors)},
        "error_list": errors,
        "deletion": deletion,
        "faults": faults,
        "is_new": stored is None and not errors and not any(form.get(name) for name in ("name", "pattern_value")),
        "back": _alert_path(back),
        "refusal": refusal,
        "sentence": describe_rule(wanted) if wanted else (),
        "codes": _codes(wanted),
        "restarts": bool(stored and wanted and definition.meaning_changed(stored.definition, wanted)),
        "preview": shown,
        "samples": _samples(wanted) if run and fragment in ("", "samples") else None,
        "samples_are_read": run,
        "pointer": _pointer(form, [*errors, *faults]),
        "recipients": _recipients(wanted) if shown else 0,
        "span": span,
        "spans": SPAN_WORDS,
        "is_filtered": _is_filled(form, errors, [f"filters.{name}" for name in rule_form.FILTER_FIELDS]),
        "has_details": _is_filled(form, errors, DETAILS) or any(error.field in rule_form.MINUTES for error in errors),
        "directions": _options(form, "filters.direction", ALL_DIRECTIONS),
        "levels": _options(form, "filters.level", ["error", "warning", "notice", "debug"]),
        "group_fields": GROUP_FIELDS,
        "group_names": {field: NEW_VALUE_NAMES[field] for field in GROUP_FIELDS},
        "zones": sorted(zone_names()),
        "day_names": DAYS,
        "other_rules": _other_rules(form, stored),
        "label_of": rule_form.label_of,
    }
    return render(request, viewer, "rule.html", context, status)


def _samples(wanted: RuleDefinition | None) -> Sample | None:
    if wanted is None:
        return None
    with session_scope() as session:
        return sample(session, wanted, utc_now())


def _pointer(form: RuleForm, errors: Sequence[FormError]) -> rule_form.Pointer | None:
    """Find the position in the pattern that its first error names."""
    text = next((error.text for error in errors if error.field == "pattern_value"), "")
    return rule_form.pointer(form.get("pattern_value"), text)


def _is_filled(form: RuleForm, errors: Sequence[FormError], names: Sequence[str]) -> bool:
    """Check whether folded fields have values or errors."""
    return any(any(form.fields.get(name, ())) or any(error.field == name for error in errors) for name in names)


def _options(form: RuleForm, name: str, known: Sequence[str]) -> list[tuple[str, str]]:
    """Return the checkboxes: the known values and the rule's other ones."""
    return [(value, value) for value in dict.fromkeys([*known, *form.fields.get(name, ())])]


def _other_rules(form: RuleForm, stored: Stored | None) -> list[tuple[str, str]]:
    """List the rules that this one may depend on, by name. A deleted one that is ticked stays, to be unticked."""
    with session_scope() as session:
        found = rule_admin.list_rules(session, None, MAX_RULES).items
        names = {str(rule.id): rule.name for rule in found if stored is None or rule.id != stored.id}
    gone = {rule_id: rule_id for rule_id in form.fields.get("depends_on", ()) if rule_id not in names}
    return sorted((names | gone).items(), key=lambda item: (item[1].lower(), item[0]))


def _parse(body: dict[str, Any], form: RuleForm, settings: Settings) -> tuple[RuleDefinition | None, list[FormError]]:
    """Parse the form for the sentence and the preview, which need no name."""
    try:
        wanted = definition.parse_rule(body | {"name": body["name"] or "preview"})
        rule_checks.check(wanted, settings)
    except InvalidInput as error:
        return None, rule_form.errors_of(form, error.errors)
    return wanted, []


def _codes(rule: RuleDefinition | None) -> list[ErrorCode]:
    """Look up the error codes of a pattern."""
    if rule is None or rule.pattern_type != PatternType.ERROR_CODE:
        return []
    found = [item for item in list_items(rule.pattern_value or "") if item.isdigit()]
    return [describe(int(code)) for code in found[:MAX_NAMED_CODES]]


def _recipients(rule: RuleDefinition | None) -> int:
    """Count the actions that would send an alert of this rule."""
    if rule is None:
        return 0
    with session_scope() as session:
        found = actions.list_actions(session, None, MAX_ACTIONS).items
        return sum(
            action.enabled and Severity(action.min_severity).rank <= Severity(rule.severity).rank for action in found
        )
