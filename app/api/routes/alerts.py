"""Alerts: list, show, acknowledge, note, resolve."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.api.alert_operations import Operation, operate
from app.api.audited_change import AuditedChange
from app.api.deps import AppSettings, IfMatch, JsonBody, OptionalJsonBody, parse
from app.api.idempotency import Idempotent
from app.api.lists import page_response, read_position
from app.api.openapi import body
from app.api.responses import json_response, resource_response
from app.api.routing import make_router
from app.api.schemas.alerts import (
    Acknowledgement,
    AlertDetail,
    AlertFilters,
    AlertNote,
    AlertPage,
    AlertSeries,
    InCommon,
    NewNote,
    Note,
    Unacknowledgement,
)
from app.api.schemas.alerts import Alert as ShownAlert
from app.api.schemas.common import EXAMPLE_ID, PageQuery
from app.api.schemas.logs import LogPage
from app.api.security import READ, Writer
from app.database import session_scope
from app.models import Alert
from app.services.alerts import escalation, manual, search
from app.services.alerts.escalation import escalation_json
from app.services.findings.common import common_json, find_common
from app.services.findings.samples import ComparedAlert
from app.services.logs import alert_logs
from app.services.logs.search import SORT_KEY as LOG_SORT_KEY
from app.services.outbox import deliveries
from app.services.preview.alert_series import read_series, series_json
from app.services.serializers import alert_json, delivery_json, log_json, note_json
from app.utils.clock import utc_now

router = make_router("Alerts", prefix="/api/alerts")
AlertId = Annotated[UUID, Path(description="The alert's id.", examples=[EXAMPLE_ID])]


@router.get("", response_model=AlertPage, summary="List alerts", dependencies=READ)
def list_alerts(query: Annotated[AlertFilters, Query()]) -> Response:
    """List alerts, newest first by `started_at`."""
    with session_scope() as session:
        position = read_position("alerts", query, search.SORT_KEY)
        page = search.list_alerts(session, query.to_filter(), position, query.limit)
        return page_response("alerts", query, [alert_json(alert) for alert in page.items], page.older)


@router.get("/{alert_id}", response_model=AlertDetail, summary="Get an alert", dependencies=READ)
def get_alert(alert_id: AlertId, settings: AppSettings) -> Response:
    """Show an alert with its notes and deliveries, and the actions that are notified next if nobody acknowledges it."""
    with session_scope() as session:
        alert = search.get(session, alert_id)
        shown = alert_json(alert)
        more = {
            "told_next": [escalation_json(each) for each in escalation.list_next(session, alert, settings)],
            "notes": [note_json(note) for note in search.notes_of(session, alert_id)],
            "deliveries": [delivery_json(each) for each in deliveries.of_alert(session, alert_id)],
        }
        return resource_response(shown | more, unversioned=more.keys())


@router.get("/{alert_id}/logs", response_model=LogPage, summary="List the logs of an alert", dependencies=READ)
def list_alert_logs(alert_id: AlertId, query: Annotated[PageQuery, Query()]) -> Response:
    """List the logs that count towards an alert, newest first."""
    with session_scope() as session:
        search.get(session, alert_id)
        name = f"alert {alert_id}"
        position = read_position(name, query, LOG_SORT_KEY)
        page = alert_logs.logs_of_alert(session, alert_id, position, query.limit)
        return page_response(name, query, [log_json(row) for row in page.items], page.older)


@router.get(
    "/{alert_id}/common",
    response_model=InCommon,
    summary="Show what the logs of an alert have in common",
    dependencies=READ,
)
def get_common(alert_id: AlertId, settings: AppSettings) -> Response:
    """Compare the logs of an alert with the other logs of the same population, group and span.

    Both sides are samples of at most 2,000 logs, the same ones on every call. Fields that the rule's pattern is about
    are left out: all logs of the alert share them.
    """
    with session_scope() as session:
        alert = ComparedAlert.of(search.get(session, alert_id))
        found = find_common(session, alert, with_texts=settings.store_message_bodies)
    return json_response(common_json(found))


@router.get(
    "/{alert_id}/series",
    response_model=AlertSeries,
    summary="Show what the condition of an alert measured",
    dependencies=READ,
)
def get_series(alert_id: AlertId, settings: AppSettings) -> Response:
    """Show the value that the condition judged for the alert's group, over time.

    It is measured again from the logs as they are stored now. If the rule as it was is unknown, `items` is empty and
    `detail` gives the reason.
    """
    with session_scope() as session:
        series = read_series(session, search.get(session, alert_id), settings, utc_now())
    return json_response(series_json(series))


@dataclass(frozen=True)
class AlertCall:
    """The parts of a request to change an alert."""

    caller: Writer
    alert_id: AlertId
    sent: OptionalJsonBody
    expected: IfMatch
    once: Idempotent
    settings: AppSettings

    def run(self, action: str, operation: Operation, given: BaseModel) -> Response:
        """Run the operation once, if the alert is still the expected one."""
        also = {"sent": given.model_dump(exclude_none=True)}

        def effect(session: Session) -> Response:
            check = self.expected.check
            done = operate(session, self.caller, self.alert_id, action, operation, check=check, also=also)
            return resource_response(done.after)

        return self.once.run(self.caller.id, effect)


Call = Annotated[AlertCall, Depends()]


@router.post(
    "/{alert_id}/acknowledge",
    response_model=ShownAlert,
    summary="Acknowledge an alert",
    openapi_extra=body(Acknowledgement, required=False),
)
def acknowledge_alert(call: Call) -> Response:
    """Acknowledge an alert: no more updates are sent for it, or none for a while.

    Acknowledging it again only moves the end: to `for_minutes` from now, or away without it. The audit records the
    call, and its note is added to `notes`.
    """
    given = parse(Acknowledgement, call.sent)

    def acknowledge(session: Session, alert_id: UUID, now: datetime) -> Alert:
        until = None if given.for_minutes is None else now + timedelta(minutes=given.for_minutes)
        by = given.by or call.caller.name
        return manual.acknowledge(session, alert_id, by, given.note, call.settings, now, until)

    return call.run("alert.acknowledge", acknowledge, given)


@router.post(
    "/{alert_id}/unacknowledge",
    response_model=ShownAlert,
    summary="Unacknowledge an alert",
    openapi_extra=body(Unacknowledgement, required=False),
)
def unacknowledge_alert(call: Call) -> Response:
    """Make an acknowledged alert fire again: `acknowledged_at` and `acknowledged_by` are cleared, reminders continue.

    An alert that nobody has acknowledged stays as it is.
    """
    given = parse(Unacknowledgement, call.sent)

    def unacknowledge(session: Session, alert_id: UUID, now: datetime) -> Alert:
        return manual.unacknowledge(session, alert_id, call.settings, now)

    return call.run("alert.unacknowledge", unacknowledge, given)


@router.post(
    "/{alert_id}/resolve",
    response_model=ShownAlert,
    summary="Resolve an alert",
    openapi_extra=body(Note, required=False),
)
def resolve_alert(call: Call) -> Response:
    """Resolve an alert manually and notify the receivers that were notified when it fired."""
    given = parse(Note, call.sent)

    def resolve(session: Session, alert_id: UUID, now: datetime) -> Alert:
        return manual.resolve(session, alert_id, given.by or call.caller.name, given.note, call.settings, now)

    return call.run("alert.resolve", resolve, given)


@router.post(
    "/{alert_id}/notes",
    response_model=AlertNote,
    status_code=201,
    summary="Add a note to an alert",
    openapi_extra=body(NewNote),
)
def add_note(caller: Writer, alert_id: AlertId, sent: JsonBody, once: Idempotent) -> Response:
    """Add a note to an alert, open or resolved. Nobody is notified."""
    given = parse(NewNote, sent)

    def effect(session: Session) -> Response:
        added = note_json(manual.add_note(session, alert_id, given.by or caller.name, given.note, utc_now()))
        AuditedChange(session, caller, f"alert:{alert_id}").record("alert.note", added)
        return json_response(added, 201)

    return once.run(caller.id, effect)
