"""The pages of actions: the list with recent results, a form for each kind, and the test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console import action_form
from app.api.console.access import Admin, Form, PostedForm, SignedIn, Viewer, need_scope
from app.api.console.filters import neighbours
from app.api.console.rendering import Flash, allow_frames, link, redirect, render
from app.api.console.routing import make_router
from app.api.console.stale import Stale, differences, stale_page
from app.api.deps import settings_of
from app.api.lists import read_position
from app.api.schemas.actions import ActionFilters
from app.api.schemas.common import read_time
from app.api.security import TESTS_PER_MINUTE
from app.database import session_scope
from app.enums import ActionType, NotificationType, Scope, Severity
from app.errors import Conflict, InvalidInput
from app.models import Action, Attempt, Delivery, Rule
from app.services import rule_admin
from app.services.names import names_of
from app.services.outbox import actions, deliveries
from app.services.outbox.deliveries import DeliveryFilter
from app.utils.clock import rfc3339, utc_now

router = make_router()
ActionId = Annotated[UUID, Path()]
PAGE_SIZE = 50
MAX_RULES = 1000
MAX_DELIVERIES = 8
MAX_TESTED = 100
OWN_FIELDS = frozenset({"csrf", "do", "updated_at"})
"""Fields of the form that are no part of the action."""
LATELY = timedelta(days=7)
KINDS = {
    ActionType.EMAIL: ("mail", "Mail", "to one or more addresses", "Mail"),
    ActionType.WEBHOOK: (
        "hook",
        "Webhook",
        "a request to an address: your own, Slack, Teams, PagerDuty and others",
        "Slack, Teams, webhook",
    ),
    ActionType.APPRISE: (
        "send",
        "Apprise",
        "more than a hundred services, by the URL that the Apprise library knows",
        "Others",
    ),
}
"""Icon, name, description, and the words for choosing it."""
FORMATS = {
    "standard": "Signed JSON",
    "slack": "Slack",
    "teams": "Teams",
    "google_chat": "Google Chat",
    "discord": "Discord",
    "pagerduty": "PagerDuty",
}


@dataclass(frozen=True)
class _Row:
    """One line of the list."""

    action: Action
    recipients: list[str]
    last: Delivery | None
    succeeded: int
    finished: int


@dataclass(frozen=True)
class _Shown:
    """The contents of an action's page apart from its form."""

    typed: Mapping[str, str]
    errors: Mapping[str, str] = field(default_factory=dict)
    secret: str | None = None
    """A new secret, shown in clear only once."""
    tested: list[tuple[Delivery, list[Attempt]]] = field(default_factory=list)


@router.get("/actions")
def list_actions(request: Request, viewer: SignedIn) -> Response:
    """List actions with their rules and the results of their deliveries."""
    query = ActionFilters(cursor=request.query_params.get("cursor"), limit=PAGE_SIZE)
    with session_scope() as session:
        page = actions.list_actions(session, read_position("actions", query, actions.SORT_KEY), PAGE_SIZE)
        ids = [action.id for action in page.items]
        last = deliveries.last_finished(session, ids)
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
        "kinds": KINDS,
        "beside": neighbours("actions", query, page, "/actions"),
    }
    return render(request, viewer, "actions.html", context)


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
    with session_scope() as session:
        action = actions.get(session, action_id)
        session.expunge_all()
    tested = _tested(action_id, request.query_params.get("tested", ""))
    zone = {} if action.report else _report_zone(viewer)
    return _form_page(
        request, viewer, action, _Shown({**action_form.write(action, settings_of(request)), **zone}, tested=tested)
    )


@router.post("/actions/{action_id}")
def edit_action(request: Request, viewer: Admin, action_id: ActionId, form: PostedForm) -> Response:
    """Replace an action. A masked value in the form keeps the stored one."""
    with session_scope() as session:
        action = actions.get(session, action_id)
        session.expunge_all()
    if form.get("do") == "look":
        return _form_page(request, viewer, action, _Shown({**action_form.EMPTY, **action_form.typed(form)}))
    if form.get("updated_at") != rfc3339(action.updated_at):
        return _stale_page(request, viewer, action, form)
    try:
        with session_scope() as session:
            action = actions.get(session, action_id, lock=True)
            if form.get("updated_at") != rfc3339(action.updated_at):
                raise Conflict("somebody changed this action while you edited it: open it again, then change it")
            change = AuditedChange(
                session, viewer.principal, f"action:{action_id}", actions.to_audit_json(action, settings_of(request))
            )
            action, config = actions.replace(
                session, action_id, action_form.read(form), settings_of(request), utc_now()
            )
            change.record("action.update", actions.to_audit_json(action, settings_of(request)))
            session.expunge_all()
    except InvalidInput as error:
        with session_scope() as session:
            action = actions.get(session, action_id)
            session.expunge_all()
        return _refused(request, viewer, action, form, error)
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
        rules: list[Rule] = list(rule_admin.list_rules(session, None, MAX_RULES).items)
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
        "kinds": KINDS,
        "formats": FORMATS,
        "severities": list(Severity),
        "labels": action_form.LABELS,
        "updated_at": rfc3339(action.updated_at) if action else "",
    }
    return allow_frames(render(request, viewer, "action.html", context, status))


def _last_deliveries(session: Any, action_id: UUID) -> list[Delivery]:
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
