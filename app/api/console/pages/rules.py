"""Rules: the list, switching them on and off, and deleting them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange, delete_audited
from app.api.console.access import SignedIn, Viewer, Writer
from app.api.console.flash import Flash
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.console.rule_form_errors import label_of
from app.api.deps import settings_of
from app.database import session_scope
from app.errors import FieldError
from app.models import Rule
from app.services import rule_admin, rule_checks
from app.services.alerts import search
from app.services.rules import definition
from app.services.rules.description import describe_condition
from app.services.rules.words import Phrase
from app.services.serializers import rule_json
from app.utils.clock import utc_now

router = make_router()
RuleId = Annotated[UUID, Path()]
MAX_RULES = 1000
SHOWN_SPAN = timedelta(days=7)
SPARK_BUCKET = timedelta(hours=6)
STALE_AFTER = timedelta(days=30)
"""A rule without a match for this long is marked: it may not work any more."""


@dataclass(frozen=True)
class RuleRow:
    """One line of the list."""

    rule: Rule
    sentence: Sequence[Phrase]
    warnings: Sequence[FieldError]
    open_alerts: int
    alerts: Sequence[int]
    """Alerts of the last seven days, in buckets."""
    span: str
    """Since when they are counted, in words."""
    is_stale: bool

    @property
    def is_failing(self) -> bool:
        """Check whether the rule is failing."""
        return self.rule.enabled and self.rule.last_error is not None

    @property
    def urgency(self) -> tuple[bool, bool, bool, str]:
        """Sort by urgency: failing, firing, enabled, disabled."""
        return not self.is_failing, not self.open_alerts, not self.rule.enabled, self.rule.name.lower()


@router.get("/rules")
def list_rules(request: Request, viewer: SignedIn) -> Response:
    """List rules with their descriptions and state."""
    now = utc_now()
    with session_scope() as session:
        rules = list(rule_admin.list_rules(session, None, MAX_RULES).items)
        definitions = [definition.from_row(rule) for rule in rules]
        warnings = [rule_checks.warnings(session, each, settings_of(request)) for each in definitions]
        counts = search.count_by_rule(session, now - SHOWN_SPAN, now, SPARK_BUCKET)
        open_alerts = search.count_open_by_rule(session)
        session.expunge_all()
    none = [0] * (SHOWN_SPAN // SPARK_BUCKET)
    rows = [
        RuleRow(
            rule=rule,
            sentence=describe_condition(each),
            warnings=warned,
            open_alerts=open_alerts.get(rule.id, 0),
            alerts=counts.get(rule.id, none),
            span="in 7 days" if rule.created_at <= now - SHOWN_SPAN else "since it was created",
            is_stale=_is_stale(rule, now),
        )
        for rule, each, warned in zip(rules, definitions, warnings, strict=True)
    ]
    rows.sort(key=lambda row: row.urgency)
    return render(request, viewer, "rules.html", {"section": "rules", "rows": rows, "label_of": label_of})


def _is_stale(rule: Rule, now: datetime) -> bool:
    return rule.enabled and now - max(rule.last_matched_at or rule.started_at, rule.started_at) > STALE_AFTER


@router.post("/rules/{rule_id}/enable")
def enable_rule(request: Request, viewer: Writer, rule_id: RuleId) -> Response:
    """Switch a rule on."""
    name = _switch(request, viewer, rule_id, enabled=True)
    return redirect(request, "/rules", Flash(f"“{name}” is on. It evaluates changes from now on."))


@router.post("/rules/{rule_id}/disable")
def disable_rule(request: Request, viewer: Writer, rule_id: RuleId) -> Response:
    """Switch a rule off."""
    name = _switch(request, viewer, rule_id, enabled=False)
    text = f"“{name}” is off. Its open alerts are resolved."
    return redirect(request, "/rules", Flash(text, undo=f"/rules/{rule_id}/enable"))


def _switch(request: Request, viewer: Viewer, rule_id: UUID, *, enabled: bool) -> str:
    with session_scope() as session:
        rule = rule_admin.get(session, rule_id, lock=True)
        change = AuditedChange(session, viewer.principal, f"rule:{rule_id}", rule_json(rule))
        rule = rule_admin.patch(session, rule_id, {"enabled": enabled}, settings_of(request), utc_now())
        change.record("rule.update", rule_json(rule))
        return rule.name


@router.post("/rules/{rule_id}/delete")
def delete_rule(request: Request, viewer: Writer, rule_id: RuleId) -> Response:
    """Delete a rule. Its alerts are kept."""
    with session_scope() as session:
        rule = rule_admin.get(session, rule_id, lock=True)
        name = rule.name
        delete_audited(session, viewer.principal, rule, settings_of(request))
    return redirect(request, "/rules", Flash(f"“{name}” is deleted. Its alerts are kept."))
