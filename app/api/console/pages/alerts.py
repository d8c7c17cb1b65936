"""The pages of alerts: the list, one alert, and manual operations."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Request, Response
from sqlalchemy.orm import Session

from app.api.alert_operations import Operation, operate
from app.api.audited_change import AuditedChange
from app.api.console.access import Form, PostedForm, SignedIn, Viewer, Writer
from app.api.console.alert_days import draw as draw_days
from app.api.console.alert_evidence import cached_evidence
from app.api.console.alert_page import show_alert_page
from app.api.console.chip_names import name_chips
from app.api.console.filters import AGES, Filters, neighbours, read_filters
from app.api.console.flash import Flash
from app.api.console.links import link
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.deps import AppSettings, parse, settings_of
from app.api.lists import read_position
from app.api.schemas.alerts import AlertFilters, NewNote
from app.api.schemas.common import PageQuery
from app.database import session_scope
from app.enums import AlertStatus, Severity
from app.errors import Conflict, FieldError, InvalidInput
from app.models import Alert
from app.services import names, setup
from app.services.alerts import manual, search, support_text
from app.services.logs import alert_logs
from app.services.logs.search import SORT_KEY as LOG_SORT_KEY
from app.services.serializers import note_json
from app.utils.clock import utc_now
from app.utils.json_types import JsonObject
from app.utils.quantities import duration

router = make_router()
AlertId = Annotated[UUID, Path()]
PAGE_SIZE = 50
SUPPORT_LOGS = 100
MAX_RULES = 30
"""The most rules that the filter offers; the page of rules links to the alerts of each."""
OPEN = (AlertStatus.FIRING, AlertStatus.ACKNOWLEDGED)
TABS = {"": "open", ",".join(OPEN): "open", AlertStatus.RESOLVED: "resolved"}
"""The tab of a filter by status."""
LABELS = {"rule_id": "rule", "account_sid": "account", "since": "from", "until": "before"}
ACKNOWLEDGED_FOR = {"1h": timedelta(hours=1), "4h": timedelta(hours=4), "8h": timedelta(hours=8)}


@router.get("/alerts")
def list_alerts(request: Request, viewer: SignedIn) -> Response:
    """List alerts: the open ones, unless a filter says otherwise."""
    status = request.query_params.get("status", "")
    tab = request.query_params.get("tab") or TABS.get(status, "all")
    filters = _filters(request, tab, status)
    query = filters.query.model_copy(update={"cursor": request.query_params.get("cursor"), "limit": PAGE_SIZE})
    with session_scope() as session:
        position = read_position("alerts", query, search.SORT_KEY)
        page = search.list_alerts(session, query.to_filter(), position, PAGE_SIZE)
        named = name_chips(session, filters, LABELS, settings_of(request))
        chips = [chip for chip in named if chip.name != "status" or status]
        fits_one_page = page.newer is None and page.older is None
        is_triage = tab == "open" and not chips and fits_one_page
        context = {
            "alerts": search.list_urgent(session, PAGE_SIZE) if is_triage else page.items,
            "days": draw_days(session, viewer, utc_now()) if tab == "resolved" else None,
            "ended_at": search.last_resolved_at(session),
            "progress": setup.first_steps(session),
            **_offered_filters(session, filters),
        }
        session.expunge_all()
    address = link("/alerts", tab=tab) if not chips else filters.address
    context |= {
        "section": "alerts",
        "chips": chips,
        "tab": tab,
        "beside": neighbours("alerts", query, page, address),
        "health": request.app.state.health.get(),
    }
    return render(request, viewer, "alerts.html", context)


def _filters(request: Request, tab: str, status: str) -> Filters[AlertFilters]:
    """Read the filters of the address; a tab filters by status unless the address does."""
    sent = request.query_params.multi_items()
    if not status and tab in ("open", "resolved"):
        sent.append(("status", ",".join(OPEN) if tab == "open" else AlertStatus.RESOLVED))
    return read_filters(AlertFilters, "/alerts", sent, utc_now(), LABELS)


def _offered_filters(session: Session, filters: Filters[AlertFilters]) -> dict[str, Any]:
    rules = names.rules(session, MAX_RULES)
    return {
        "severities": [(severity.value, filters.replaced(severity=severity.value)) for severity in reversed(Severity)],
        "rules": [(name, filters.replaced(rule_id=str(rule_id))) for rule_id, name in rules.items()],
        "has_more_rules": len(rules) == MAX_RULES,
        "ages": [(age, filters.replaced(since=age)) for age in AGES],
    }


@router.get("/alerts/{alert_id}")
def show_alert(request: Request, viewer: SignedIn, alert_id: AlertId, settings: AppSettings) -> Response:
    """Show one alert: the problem, its cause, the next step, and its history."""
    return show_alert_page(request, viewer, alert_id, settings)


@router.get("/alerts/{alert_id}/logs")
def list_logs_of_alert(request: Request, viewer: SignedIn, alert_id: AlertId) -> Response:
    """List every log that an alert counts, as far as they are kept."""
    query = PageQuery(limit=PAGE_SIZE, cursor=request.query_params.get("cursor"))
    path = f"/alerts/{alert_id}/logs"
    with session_scope() as session:
        alert = search.get(session, alert_id)
        position = read_position(path, query, LOG_SORT_KEY)
        page = alert_logs.logs_of_alert(session, alert_id, position, PAGE_SIZE)
        session.expunge_all()
    context = {
        "section": "alerts",
        "alert": alert,
        "logs": page.items,
        "beside": neighbours(path, query, page, path),
    }
    return render(request, viewer, "alert_logs.html", context)


@router.get("/alerts/{alert_id}/support")
def show_support_text(request: Request, viewer: SignedIn, alert_id: AlertId) -> Response:
    """Show the text about an alert for Twilio's support, ready to copy."""
    with session_scope() as session:
        alert = search.get(session, alert_id)
        logs = alert_logs.logs_of_alert(session, alert_id, None, SUPPORT_LOGS).items
        session.expunge_all()
    context = {
        "section": "alerts",
        "alert": alert,
        "support": support_text.write(alert, logs, cached_evidence(request, alert).common.finding, utc_now()),
    }
    return render(request, viewer, "support.html", context)


def _too_late(request: Request, alert_id: UUID) -> Response:
    """Redirect to an alert that was resolved before the operation; its page shows when and why."""
    return redirect(
        request, f"/alerts/{alert_id}", Flash("This alert was resolved already. Nothing was changed.", "info")
    )


def _lasts(form: Form) -> timedelta | None:
    """Return for how long a person acknowledges; None until the alert resolves.

    Raises: InvalidInput.
    """
    if not form.get("for"):
        return None
    if (length := ACKNOWLEDGED_FOR.get(form.get("for"))) is None:
        raise InvalidInput([FieldError("for", f"must be one of {', '.join(ACKNOWLEDGED_FOR)}")])
    return length


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge(request: Request, viewer: Writer, alert_id: AlertId, form: PostedForm) -> Response:
    """Acknowledge an alert."""
    lasts, note = _lasts(form), form.get("note") or None

    def operation(session: Session, alert_id: UUID, now: datetime) -> Alert:
        until = now + lasts if lasts else None
        return manual.acknowledge(session, alert_id, viewer.session.name, note, settings_of(request), now, until)

    before = _operate(viewer, alert_id, "alert.acknowledge", operation)
    if before is None:
        return _too_late(request, alert_id)
    page = f"/alerts/{alert_id}"
    if before["status"] == AlertStatus.ACKNOWLEDGED:
        end = f"for {duration(lasts)}" if lasts else "until it resolves"
        text = f"{before['acknowledged_by']} has acknowledged this alert already. It now stays so {end}."
        return redirect(request, page, Flash(text, "info"))
    return redirect(request, page, Flash("You acknowledged this alert.", undo=f"{page}/unacknowledge"))


@router.post("/alerts/{alert_id}/unacknowledge")
def unacknowledge(request: Request, viewer: Writer, alert_id: AlertId, form: PostedForm) -> Response:  # noqa: ARG001 - the form carries the CSRF token
    """Take an acknowledgement back."""

    def operation(session: Session, alert_id: UUID, now: datetime) -> Alert:
        return manual.unacknowledge(session, alert_id, settings_of(request), now)

    if _operate(viewer, alert_id, "alert.unacknowledge", operation) is None:
        return _too_late(request, alert_id)
    return redirect(request, f"/alerts/{alert_id}", Flash("This alert is firing again, and reminders continue."))


@router.post("/alerts/{alert_id}/notes")
def add_note(request: Request, viewer: Writer, alert_id: AlertId, form: PostedForm, settings: AppSettings) -> Response:
    """Add a note to an alert. An invalid one stays in its field."""
    try:
        given = parse(NewNote, {"note": form.get("note")})
    except InvalidInput as error:
        return show_alert_page(request, viewer, alert_id, settings, form.get("note"), error.errors[0].message)
    with session_scope() as session:
        added = note_json(manual.add_note(session, alert_id, viewer.session.name, given.note, utc_now()))
        AuditedChange(session, viewer.principal, f"alert:{alert_id}").record("alert.note", added)
    return redirect(request, f"/alerts/{alert_id}", Flash("Your note was added."))


@router.post("/alerts/{alert_id}/resolve")
def resolve(request: Request, viewer: Writer, alert_id: AlertId, form: PostedForm) -> Response:
    """Resolve an alert."""
    note = form.get("note") or None

    def operation(session: Session, alert_id: UUID, now: datetime) -> Alert:
        return manual.resolve(session, alert_id, viewer.session.name, note, settings_of(request), now)

    if _operate(viewer, alert_id, "alert.resolve", operation) is None:
        return _too_late(request, alert_id)
    return redirect(request, f"/alerts/{alert_id}", Flash("You resolved this alert."))


def _operate(viewer: Viewer, alert_id: UUID, action: str, operation: Operation) -> JsonObject | None:
    """Run an operation; return the alert before, or None if it was resolved already."""
    try:
        with session_scope() as session:
            return operate(session, viewer.principal, alert_id, action, operation).before
    except Conflict:
        return None
