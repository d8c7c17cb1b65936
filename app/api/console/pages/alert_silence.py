"""The operation that silences an alert from its page."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from app.api.audited_change import AuditedChange
from app.api.console.access import PostedForm, Writer
from app.api.console.flash import Flash
from app.api.console.rendering import redirect
from app.api.console.routing import make_router
from app.api.console.silence_menu import read_end
from app.database import session_scope
from app.services.alerts import search, silences
from app.services.alerts.recurrence import Validity
from app.utils.clock import utc_now

router = make_router()
AlertId = Annotated[UUID, Path()]


@router.post("/alerts/{alert_id}/silence")
def silence(request: Request, viewer: Writer, alert_id: AlertId, form: PostedForm) -> Response:
    """Silence the group of an alert, or its whole rule, for a while."""
    now, page = utc_now(), f"/alerts/{alert_id}"
    until = read_end(form, viewer, now)
    if until is None:
        return redirect(request, page, Flash("Nothing is silenced yet: choose a time that is still to come.", "warn"))
    with session_scope() as session:
        alert = search.get(session, alert_id)
        is_whole_rule = form.get("whole_rule") and alert.rule_id
        made = silences.create(
            session,
            alert.rule_id,
            {} if is_whole_rule else dict(alert.group),
            Validity(now, until, None),
            form.get("reason"),
            viewer.principal.name,
            now,
        )
        shown = silences.to_json(session, [made], now)[0]
        AuditedChange(session, viewer.principal, f"silence:{made.id}").record("silence.create", shown)
    return redirect(request, page, Flash("Nobody is notified of this until the silence ends."))
