"""The page of a rule: its form in four steps, and next to it what it says and what it would have done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy.orm import Session

from app.api.console import rule_form
from app.api.console.access import Viewer
from app.api.console.deleted import Deletion
from app.api.console.rendering import FRAGMENT, render
from app.api.console.rule_form import RuleForm
from app.api.console.rule_form_errors import FormError, Pointer, errors_of, label_of, pointer
from app.api.console.rule_preview import DEFAULT_SPAN, PREVIEWS, SPAN_WORDS, ShownPreview, show
from app.api.deps import settings_of
from app.api.responses import etag
from app.config import Settings
from app.database import session_scope
from app.enums import PatternType, Severity
from app.errors import InvalidInput
from app.models import Rule
from app.services import rule_admin, rule_checks
from app.services.names import names_of
from app.services.outbox import actions
from app.services.preview.samples import Sample, sample
from app.services.rules import definition
from app.services.rules.definition import RuleDefinition
from app.services.rules.description import DAY_NAMES, describe_rule
from app.services.rules.fields import GROUP_FIELDS
from app.services.rules.patterns import list_items
from app.services.rules.words import NEW_VALUE_NAMES
from app.services.serializers import rule_json
from app.services.twilio.error_codes import ErrorCode, describe
from app.services.twilio.vocabulary import DIRECTIONS
from app.utils.clock import utc_now
from app.utils.zones import zone_names

MAX_ACTIONS = 1000
MAX_RULES = 1000
MAX_NAMED_CODES = 6
ALL_DIRECTIONS = sorted({direction for known in DIRECTIONS.values() for direction in known})
LEVELS = ("error", "warning", "notice", "debug")
FILTERS = [f"filters.{name}" for name in rule_form.FILTER_FIELDS]
DETAILS = ("description", "schedule.start", "schedule.end", "schedule.days", "depends_on")
"""Fields that are folded up while they are empty; so are the filters."""


@dataclass(frozen=True)
class StoredRule:
    """The stored rule that is being edited."""

    id: UUID
    definition: RuleDefinition
    version: str
    health: Mapping[str, Any]
    left_out: Sequence[str]
    """Names of the accounts that it does not wait for."""


def stored_rule(session: Session, rule: Rule, settings: Settings) -> StoredRule:
    """Read what the page shows of a stored rule."""
    health = rule_admin.health(session, rule, settings)
    sids = health["left_out_accounts"]
    names = names_of(session, {"account_sid": sids}, settings)
    return StoredRule(
        rule.id,
        definition.from_row(rule),
        etag(rule_json(rule)),
        health,
        [names.get(sid, sid) for sid in sids],
    )


@dataclass(frozen=True)
class RulePage:
    """What a request shows: a form, and what became of it."""

    form: RuleForm
    stored: StoredRule | None = None
    version: str = ""
    """The version that the form edits, if not the stored one."""
    errors: Sequence[FormError] = ()
    """Why it was not saved."""
    deletion: Deletion | None = None
    """The rule was deleted since the form was opened."""
    back: str = ""
    """The alert's page that saving leads to."""
    span: str = DEFAULT_SPAN
    run: bool = False
    """Add the preview and the samples."""

    def is_filled(self, names: Sequence[str]) -> bool:
        """Check whether folded fields have values or errors."""
        return any(any(self.form.fields.get(name, ())) or self.has_error(name) for name in names)

    def has_error(self, name: str) -> bool:
        """Check whether a field has an error."""
        return any(error.field == name for error in self.errors)

    @property
    def is_new(self) -> bool:
        """Nothing was entered yet, so nothing is missing."""
        is_empty = not any(self.form.get(name) for name in ("name", "pattern_value"))
        return self.stored is None and not self.errors and is_empty


def show_rule_page(request: Request, viewer: Viewer, page: RulePage, status: int = 200) -> Response:
    """Show the form, the sentence that it makes, and the preview if the page has one."""
    body = rule_form.to_body(page.form)
    wanted, parse_errors = _parse(body, page.form, settings_of(request))
    context = {
        "section": "rules",
        **_form_context(page),
        "sentence": describe_rule(wanted) if wanted else (),
        "codes": _codes(wanted),
        "restarts": bool(page.stored and wanted and definition.meaning_changed(page.stored.definition, wanted)),
        **_preview_context(request, viewer, page, wanted, parse_errors),
    }
    return render(request, viewer, "rule.html", context, status)


def _parse(body: dict[str, Any], form: RuleForm, settings: Settings) -> tuple[RuleDefinition | None, list[FormError]]:
    """Parse the form for the sentence and the preview, which need no name."""
    try:
        wanted = definition.parse_rule(body | {"name": body["name"] or "preview"})
        rule_checks.check(wanted, settings)
    except InvalidInput as error:
        return None, errors_of(form, error.errors)
    return wanted, []


def _form_context(page: RulePage) -> dict[str, Any]:
    has_wrong_minutes = any(page.has_error(name) for name in rule_form.MINUTES)
    return {
        "form": page.form,
        "stored": page.stored,
        "version": page.version or (page.stored.version if page.stored else ""),
        "errors": {error.field: error.text for error in reversed(page.errors)},
        "error_list": page.errors,
        "deletion": page.deletion,
        "is_new": page.is_new,
        "back": page.back,
        "is_filtered": page.is_filled(FILTERS),
        "has_details": page.is_filled(DETAILS) or has_wrong_minutes,
        "directions": _options(page.form, "filters.direction", ALL_DIRECTIONS),
        "levels": _options(page.form, "filters.level", LEVELS),
        "group_fields": GROUP_FIELDS,
        "group_names": {field: NEW_VALUE_NAMES[field] for field in GROUP_FIELDS},
        "zones": sorted(zone_names()),
        "day_names": DAY_NAMES,
        "other_rules": other_rules(page.form, page.stored),
        "label_of": label_of,
    }


def _options(form: RuleForm, name: str, known: Sequence[str]) -> list[tuple[str, str]]:
    """Return the checkboxes: the known values and the rule's other ones."""
    return [(value, value) for value in dict.fromkeys([*known, *form.fields.get(name, ())])]


def other_rules(form: RuleForm, stored: StoredRule | None) -> list[tuple[str, str]]:
    """List the rules that this one may depend on, by name. A deleted one that is ticked stays, to be unticked."""
    with session_scope() as session:
        found = rule_admin.list_rules(session, None, MAX_RULES).items
        names = {str(rule.id): rule.name for rule in found if stored is None or rule.id != stored.id}
    gone = {rule_id: rule_id for rule_id in form.fields.get("depends_on", ()) if rule_id not in names}
    return sorted((names | gone).items(), key=lambda item: (item[1].lower(), item[0]))


def _codes(rule: RuleDefinition | None) -> list[ErrorCode]:
    """Look up the error codes of a pattern."""
    if rule is None or rule.pattern_type != PatternType.ERROR_CODE:
        return []
    found = [item for item in list_items(rule.pattern_value or "") if item.isdigit()]
    return [describe(int(code)) for code in found[:MAX_NAMED_CODES]]


def _preview_context(
    request: Request, viewer: Viewer, page: RulePage, wanted: RuleDefinition | None, parse_errors: list[FormError]
) -> dict[str, Any]:
    """Run the preview and look for samples, if the request wants them and the form is a whole rule."""
    fragment = request.headers.get(FRAGMENT, "")
    preview: ShownPreview | None = None
    refusal = ""
    if page.run and wanted is not None and fragment in ("", "preview"):
        try:
            preview = _preview(viewer, page, wanted, settings_of(request))
        except InvalidInput as error:
            parse_errors = errors_of(page.form, [each for each in error.errors if each.field != "since"])
            refusal = "; ".join(f"The span {each.message}." for each in error.errors if each.field == "since")
    return {
        "parse_errors": parse_errors,
        "refusal": refusal,
        "preview": preview,
        "samples": _samples(wanted) if page.run and wanted and fragment in ("", "samples") else None,
        "samples_are_read": page.run,
        "pointer": _pointer(page.form, [*page.errors, *parse_errors]),
        "recipients": _recipients(wanted) if preview and wanted else 0,
        "span": page.span,
        "spans": SPAN_WORDS,
    }


def _preview(viewer: Viewer, page: RulePage, wanted: RuleDefinition, settings: Settings) -> ShownPreview:
    body = rule_form.to_body(page.form)
    sent = body if page.stored is None else body | {"id": str(page.stored.id)}
    return show(viewer, wanted, PREVIEWS.get(sent, page.span, settings, ladder=True), page.span)


def _samples(wanted: RuleDefinition) -> Sample | None:
    with session_scope() as session:
        return sample(session, wanted, utc_now())


def _pointer(form: RuleForm, errors: Sequence[FormError]) -> Pointer | None:
    """Find the position in the pattern that its first error names."""
    text = next((error.text for error in errors if error.field == "pattern_value"), "")
    return pointer(form.get("pattern_value"), text)


def _recipients(rule: RuleDefinition) -> int:
    """Count the actions that would send an alert of this rule."""
    with session_scope() as session:
        found = actions.list_actions(session, None, MAX_ACTIONS).items
        return sum(
            action.enabled and Severity(action.min_severity).rank <= Severity(rule.severity).rank for action in found
        )
