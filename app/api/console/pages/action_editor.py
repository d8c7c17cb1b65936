"""The form of an action, with its last deliveries and the results of a test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request, Response
from sqlalchemy.orm import Session

from app.api.audited_change import AuditedChange
from app.api.console import action_form
from app.api.console.access import Admin, Form, PostedForm, SignedIn, Viewer, need_scope
from app.api.console.flash import Flash
from app.api.console.rendering import allow_frames, redirect, render
from app.api.console.routing import make_router
from app.api.console.stale import Stale, differences, stale_page
from app.api.deps import settings_of
from app.api.schemas.common import read_time
from app.database import session_scope
from app.enums import ActionType, NotificationType, Scope, Severity
from app.errors import InvalidInput
from app.models import Action, Attempt, Delivery
from app.services import rule_admin
from app.services.names import names_of
from app.services.outbox import actions, deliveries
from app.services.outbox.deliveries import DeliveryFilter
from app.utils.clock import rfc3339, utc_now

router = make_router()
ActionId = Annotated[UUID, Path()]
MAX_RULES = 1000
MAX_DELIVERIES = 8
MAX_TESTED = 100
OWN_FIELDS = frozenset({"csrf", "do", "updated_at"})
"""Fields of the form that are no part of the action."""


@dataclass(frozen=True)
class _Shown:
    """The contents of an action's page apart from its form."""

    typed: Mapping[str, str]
    errors: Mapping[str, str] = field(default_factory=dict)
    secret: str | None = None
    """A new secret, shown in clear only once."""
    tested: list[tuple[Delivery, list[Attempt]]] = field(default_factory=list)


@router.get("/actions/new")
def new_action(request: Request, viewer: SignedIn) -> Response:
    """Show the empty form of one kind."""
    need_scope(viewer, Scope.ADMIN)
    wanted = request.query_params.get("type", ActionType.EMAIL)
    action_type = ActionType(wanted) if wanted in [*ActionType] else ActionType.EMAIL
    given = {"action_type": action_type, "rule_id": request.query_params.get("rule_id", "")}
    return _form_page(request, viewer, None, _Shown({**action_form.EMPTY, **_report_zone(viewer), **given}))


def _report_zone(viewer: Viewer) -> Mapping[str, str]:
    """Return the time zone for a new report: the viewer's if known."""
    return {"report_timezone": viewer.zone.key} if viewer.zone_is_known else {}


@router.post("/actions")
def create_action(request: Request, viewer: Admin, form: PostedForm) -> Response:
    """Create an action, and show the secret of a new webhook only once."""
    try:
        with session_scope() as session:
            action, config = actions.create(session, action_form.read(form), settings_of(request), utc_now())
            AuditedChange(session, viewer.principal, f"action:{action.id}").record(
                "action.create", actions.to_audit_json(action, settings_of(request))
            )
            session.expunge_all()
    except InvalidInput as error:
        return _refused(request, viewer, None, form, error)
    return _saved(request, viewer, action, config, "The action is created. Send a test to see that it arrives.")


@router.get("/actions/{action_id}")
def show_action(request: Request, viewer: SignedIn, action_id: ActionId) -> Response:
    """Show one action, its form, its last deliveries and test results."""
    action = _read(action_id)
    tested = _tested(action_id, request.query_params.get("tested", ""))
    zone = {} if action.report else _report_zone(viewer)
    return _form_page(
        request, viewer, action, _Shown({**action_form.write(action, settings_of(request)), **zone}, tested=tested)
    )


def _read(action_id: UUID) -> Action:
    with session_scope() as session:
        action = actions.get(session, action_id)
        session.expunge_all()
    return action


@router.post("/actions/{action_id}")
def edit_action(request: Request, viewer: Admin, action_id: ActionId, form: PostedForm) -> Response:
    """Replace an action. A masked value in the form keeps the stored one."""
    settings = settings_of(request)
    if form.get("do") == "look":
        shown = _Shown({**action_form.EMPTY, **action_form.typed(form)})
        return _form_page(request, viewer, _read(action_id), shown)
    try:
        with session_scope() as session:
            action = actions.get(session, action_id, lock=True)
            if form.get("updated_at") != rfc3339(action.updated_at):
                return _stale_page(request, viewer, action, form)
            before = actions.to_audit_json(action, settings)
            change = AuditedChange(session, viewer.principal, f"action:{action_id}", before)
            action, config = actions.replace(session, action_id, action_form.read(form), settings, utc_now())
            change.record("action.update", actions.to_audit_json(action, settings))
            session.expunge_all()
    except InvalidInput as error:
        return _refused(request, viewer, _read(action_id), form, error)
    return _saved(request, viewer, action, config, "Saved.")


def _stale_page(request: Request, viewer: Viewer, action: Action, form: Form) -> Response:
    theirs, mine = action_form.write(action, settings_of(request)), action_form.typed(form)
    rule_ids = [each for each in (theirs.get("rule_id"), mine.get("rule_id")) if each]
    with session_scope() as session:
        names = names_of(session, {"rule_id": rule_ids, "action_id": [str(action.id)]}, settings_of(request))
    stale = Stale(
        section="actions",
        lists=("Actions", "/actions"),
        name=names.get(str(action.id), "This action"),
        target=f"action:{action.id}",
        path=f"/actions/{action.id}",
        fields=[
            ("updated_at", rfc3339(action.updated_at)),
            *(pair for pair in form.fields if pair[0] not in OWN_FIELDS),
        ],
        look_path=f"/actions/{action.id}",
        differences=differences(
            _shown_values(theirs, names), _shown_values(mine, names), action_form.LABELS, action_form.SECRETS
        ),
    )
    return stale_page(request, viewer, stale)


def _shown_values(fields: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Write the fields of an action for people; those of reports only if it gets reports."""
    worded = {
        "enabled": "yes" if fields["enabled"] else "no",
        "rule_id": names.get(fields.get("rule_id", ""), ""),
        "notify_on": ", ".join(sorted(fields["notify_on"].split(","))),
        **{name: fields.get(name) or "0" for name in action_form.WAITS},
    }
    return {
        name: value
        for name, value in {**fields, **worded}.items()
        if name not in OWN_FIELDS and (fields.get("report_every") or not name.startswith("report_"))
    }


def _saved(request: Request, viewer: SignedIn, action: Action, config: dict[str, Any], text: str) -> Response:
    secret = config.get("secret")
    if secret == actions.masked_config(action, settings_of(request)).get("secret"):
        return redirect(request, f"/actions/{action.id}", Flash(text))
    # No redirect: only this response contains the secret in clear.
    return _form_page(request, viewer, action, _Shown(action_form.write(action, settings_of(request)), secret=secret))


def _refused(
    request: Request, viewer: SignedIn, action: Action | None, form: PostedForm, error: InvalidInput
) -> Response:
    shown = _Shown({**action_form.EMPTY, **action_form.typed(form)}, action_form.by_field(error))
    return _form_page(request, viewer, action, shown, 422)


def _form_page(request: Request, viewer: SignedIn, action: Action | None, shown: _Shown, status: int = 200) -> Response:
    with session_scope() as session:
        rules = rule_admin.list_rules(session, None, MAX_RULES).items
        lately = _last_deliveries(session, action.id) if action else []
        names = names_of(session, {"alert_id": deliveries.alert_ids(lately)}, settings_of(request))
        session.expunge_all()
    context = {
        "section": "actions",
        "action": action,
        "recipients": actions.masked_recipients(action, settings_of(request)) if action else [],
        "typed": shown.typed,
        "errors": shown.errors,
        "secret": shown.secret,
        "tested": shown.tested,
        "deliveries": lately,
        "names": names,
        "rules": sorted(rules, key=lambda rule: rule.name.lower()),
        "kinds": action_form.KINDS,
        "formats": action_form.FORMATS,
        "severities": list(Severity),
        "labels": action_form.LABELS,
        "updated_at": rfc3339(action.updated_at) if action else "",
    }
    return allow_frames(render(request, viewer, "action.html", context, status))


def _last_deliveries(session: Session, action_id: UUID) -> list[Delivery]:
    of_action = DeliveryFilter(action_id=(str(action_id),))
    return list(deliveries.list_deliveries(session, of_action, None, MAX_DELIVERIES).items)


def _tested(action_id: UUID, at: str) -> list[tuple[Delivery, list[Attempt]]]:
    """Find the deliveries of a test, by when it was made."""
    try:
        made_at: datetime = read_time(at)
    except ValueError:
        return []
    wanted = DeliveryFilter(action_id=(str(action_id),), since=made_at, until=made_at + timedelta(seconds=1))
    with session_scope() as session:
        found = deliveries.list_deliveries(session, wanted, None, MAX_TESTED).items
        tests = [each for each in found if each.type == NotificationType.TEST]
        attempts = deliveries.attempts_of_all(session, [each.id for each in tests])
        session.expunge_all()
    return [(each, attempts.get(each.id, [])) for each in tests]
