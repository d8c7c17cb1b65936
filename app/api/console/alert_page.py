"""The page of one alert: the problem, its cause, the next step, and its history."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy.orm import Session

from app.actions.facts import FIELDS, REASONS
from app.actions.message_content import ENDED_BY_EDITS
from app.api.console.access import Viewer
from app.api.console.alert_evidence import Evidence, cached_evidence, common_rows
from app.api.console.alert_plot import draw_alert
from app.api.console.alert_timeline import list_events
from app.api.console.built_in_advice import advise
from app.api.console.rendering import FRAGMENT, render
from app.api.console.silence_menu import offer_silence
from app.config import Settings
from app.database import session_scope
from app.enums import OTHER_VALUE, AlertStatus
from app.models import Alert, Delivery
from app.services.alerts import escalation, search, silences
from app.services.logs import alert_logs
from app.services.names import names_of
from app.services.outbox import deliveries
from app.services.twilio import read_advice
from app.services.twilio.error_codes import describe
from app.utils.clock import utc_now

SAMPLE_LOGS = 5
MAX_EARLIER = 5


def show_alert_page(
    request: Request,
    viewer: Viewer,
    alert_id: UUID,
    settings: Settings,
    note: str = "",
    note_error: str = "",
) -> Response:
    """Show an alert; with what explains it, unless only a fragment is asked for."""
    is_whole = FRAGMENT not in request.headers
    with session_scope() as session:
        alert = search.get(session, alert_id)
        sent = deliveries.of_alert(session, alert_id)
        context = {
            "alert": alert,
            "deliveries": sent,
            "earlier": search.earlier_alerts(session, alert, MAX_EARLIER) if is_whole else [],
            "logs": alert_logs.logs_of_alert(session, alert_id, None, SAMPLE_LOGS).items,
            "told_next": escalation.list_next(session, alert, settings),
            "names": _account_names(session, alert, settings),
            **_silence_context(session, viewer, alert),
        }
        notes = search.notes_of(session, alert_id)
        session.expunge_all()
    context |= {
        "section": "alerts",
        "trail": list_events(viewer, alert, notes, sent, context["active_silences"]),
        **_words(alert, settings),
        **_evidence_context(cached_evidence(request, alert) if is_whole else None, viewer, alert, sent),
        "note": note,
        "note_error": note_error,
    }
    return render(request, viewer, "alert.html", context, 422 if note_error else 200)


def _account_names(session: Session, alert: Alert, settings: Settings) -> dict[str, str]:
    """Name the accounts in an alert's group and those it left out, by SID."""
    sids = [str(alert.group["account_sid"])] if alert.group.get("account_sid") else []
    return names_of(session, {"account_sid": [*sids, *(alert.left_out_accounts or ())]}, settings)


def _silence_context(session: Session, viewer: Viewer, alert: Alert) -> dict[str, Any]:
    """Read what silences an open alert, and the silences that its page offers."""
    if alert.status == AlertStatus.RESOLVED:
        return {"active_silences": [], "silencing": None}
    now = utc_now()
    return {
        "active_silences": silences.silences_of_alert(session, alert, now),
        "silencing": offer_silence(session, viewer, alert, now),
    }


def _words(alert: Alert, settings: Settings) -> dict[str, Any]:
    """Write what an alert means, why it ended, and what to do."""
    return {
        "group": [(name, label, alert.group[name]) for name, label in FIELDS.items() if name in alert.group],
        "ended_because": REASONS.get(alert.resolve_reason or "", ""),
        "may_go_on": ENDED_BY_EDITS.get(alert.resolve_reason or "", ""),
        "max_age_hours": settings.notify_max_age_hours,
        "is_own": alert.rule_id is None,
        "is_of_others": bool(alert.rule_id and alert.group) and set(alert.group.values()) == {OTHER_VALUE},
        "meaning": None if alert.error_code is None else describe(alert.error_code),
        "next_step": advise(alert, settings.twilio_account_sid),
    }


def _evidence_context(
    evidence: Evidence | None, viewer: Viewer, alert: Alert, sent: Sequence[Delivery]
) -> dict[str, Any]:
    common, series = evidence or (None, None)
    return {
        "common": common,
        "rows": common_rows(common) if common else [],
        "waits_for": [(each, read_advice.advise(each.last_error)) for each in series.waits_for] if series else [],
        "plot": draw_alert(viewer, alert, series, sent) if series else None,
    }
