"""Alerts together: acknowledge, silence or resolve those that are selected."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy.orm import Session

from app.api.alert_operations import operate
from app.api.audited_change import AuditedChange
from app.api.console.access import PostedForm, Viewer, Writer
from app.api.console.flash import Flash
from app.api.console.rendering import redirect
from app.api.console.routing import make_router
from app.api.deps import settings_of
from app.config import Settings
from app.database import session_scope
from app.errors import Conflict, FieldError, InvalidInput, NotFound
from app.models import Alert
from app.services.alerts import manual, search, silences
from app.services.alerts.recurrence import Validity
from app.utils.clock import utc_now
from app.utils.quantities import counted

router = make_router()
MAX_TOGETHER = 200
SILENCED_FOR = timedelta(hours=8)


def _acknowledge(alert_id: UUID, viewer: Viewer, settings: Settings) -> None:
    def acknowledge(session: Session, alert_id: UUID, now: datetime) -> Alert:
        return manual.acknowledge(session, alert_id, viewer.session.name, None, settings, now)

    with session_scope() as session:
        operate(session, viewer.principal, alert_id, "alert.acknowledge", acknowledge)


def _resolve(alert_id: UUID, viewer: Viewer, settings: Settings) -> None:
    def resolve(session: Session, alert_id: UUID, now: datetime) -> Alert:
        return manual.resolve(session, alert_id, viewer.session.name, None, settings, now)

    with session_scope() as session:
        operate(session, viewer.principal, alert_id, "alert.resolve", resolve)


def _silence(alert_id: UUID, viewer: Viewer, _: Settings) -> None:
    """Silence the alert's group, unless it is silenced already."""
    now = utc_now()
    with session_scope() as session:
        alert = search.get(session, alert_id)
        if alert.silenced:
            return
        valid = Validity(now, now + SILENCED_FOR, None)
        made = silences.create(session, alert.rule_id, dict(alert.group), valid, "", viewer.principal.name, now)
        shown = silences.to_json(session, [made], now)[0]
        AuditedChange(session, viewer.principal, f"silence:{made.id}").record("silence.create", shown)


ACTS: Mapping[str, tuple[Callable[[UUID, Viewer, Settings], None], str]] = {
    "acknowledge": (_acknowledge, "acknowledged"),
    "resolve": (_resolve, "resolved"),
    "silence": (_silence, "silenced for 8 hours"),
}


@router.post("/alerts/together")
def act_together(request: Request, viewer: Writer, form: PostedForm) -> Response:
    """Do the same with several alerts. Each is a separate change: one that fails does not stop the others."""
    act, done = ACTS.get(form.get("do"), (None, ""))
    if act is None:
        raise InvalidInput([FieldError("do", f"must be one of {', '.join(ACTS)}")])
    ids = _ids(form.all("shown") if form.get("all") else form.all("id"))
    failed = 0
    for alert_id in ids:
        try:
            act(alert_id, viewer, settings_of(request))
        except (Conflict, NotFound):
            failed += 1
    number = counted(len(ids) - failed, "alert is", "alerts are")
    more = f"; {failed} had been resolved already" if failed else ""
    text = f"{number} {done}{more}." if ids else "No alert was selected."
    return redirect(request, "/alerts", Flash(text, "ok" if ids and not failed else "info"))


def _ids(given: list[str]) -> list[UUID]:
    """Read the ids that were posted.

    Raises: InvalidInput.
    """
    try:
        ids = [UUID(each) for each in dict.fromkeys(given)]
    except ValueError:
        raise InvalidInput([FieldError("id", "must be the id of an alert")]) from None
    if len(ids) > MAX_TOGETHER:
        raise InvalidInput([FieldError("id", f"must name at most {MAX_TOGETHER} alerts")])
    return ids
