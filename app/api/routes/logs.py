"""Logs: lists, and one with all that belongs to it."""

from typing import Annotated

from fastapi import Path, Query, Response

from app.api.answers import resource
from app.api.lists import answer_page
from app.api.routing import make_router
from app.api.schemas.common import EXAMPLE_MESSAGE, SID
from app.api.schemas.logs import LogDetail, LogFilters, LogPage
from app.api.security import READ
from app.database import session_scope
from app.services.logs import search
from app.services.logs.raw import raw_of
from app.services.snapshots import alert_json, change_json, log_json

router = make_router("Logs", prefix="/api/logs")
Sid = Annotated[str, Path(pattern=SID, description="Twilio's sid of the log.", examples=[EXAMPLE_MESSAGE])]


@router.get("", response_model=LogPage, summary="List logs", dependencies=READ)
def list_logs(query: Annotated[LogFilters, Query()]) -> Response:
    """List logs, newest first by the time at which Twilio created them."""
    with session_scope() as session:
        return answer_page(session, "logs", search.find(query.wanted()), search.PLACE, query, log_json)


@router.get("/{sid}", response_model=LogDetail, summary="Read one log", dependencies=READ)
def get_log(sid: Sid) -> Response:
    """Show a log with Twilio's own JSON, its history, the alerts that it counts towards, and what is related to it."""
    with session_scope() as session:
        row = search.one(session, sid)
        shown = log_json(row) | {
            "raw": raw_of(search.whole(session, row), row.account_sid),
            "history": [change_json(change) for change in search.history(session, row.id, row.occurred_at)],
            "alerts": [alert_json(alert) for alert in search.alerts(session, row.id)],
            "related": [log_json(each) for each in search.related(session, row)],
        }
        return resource(shown)
