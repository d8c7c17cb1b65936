"""Logs: list, download as CSV, show one with its history and alerts."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Path, Query, Response
from fastapi.responses import StreamingResponse

from app.api.csv_text import lines
from app.api.deps import AppSettings
from app.api.lists import page_response, read_position
from app.api.responses import resource_response
from app.api.routing import make_router
from app.api.schemas.common import EXAMPLE_MESSAGE, SID
from app.api.schemas.logs import Log, LogDetail, LogFilters, LogPage, LogQuery
from app.api.security import READ
from app.database import session_scope
from app.enums import LogType
from app.services.ingest import details
from app.services.logs import doubts, search
from app.services.logs.raw import raw_of, unreadable_of
from app.services.paging import Position
from app.services.serializers import alert_json, change_json, log_json

router = make_router("Logs", prefix="/api/logs")
csv_router = make_router("Logs")
CHUNK_ROWS = 2_000
Sid = Annotated[str, Path(pattern=SID, description="Twilio's sid of the log.", examples=[EXAMPLE_MESSAGE])]


@router.get("", response_model=LogPage, summary="List logs", dependencies=READ)
def list_logs(query: Annotated[LogFilters, Query()]) -> Response:
    """List logs, newest first by the time at which Twilio created them."""
    with session_scope() as session:
        position = read_position("logs", query, search.SORT_KEY)
        page = search.list_logs(session, query.to_filter(), position, query.limit)
        warnings = doubts.of_filter(session, query.to_filter())
        return page_response("logs", query, [log_json(row) for row in page.items], page.older, warnings)


def _chunk(query: LogQuery, position: Position | None) -> tuple[str, Position | None]:
    """Read the next rows as CSV, and their end position. No connection stays open while a slow client downloads."""
    with session_scope() as session:
        page = search.list_logs(session, query.to_filter(), position, CHUNK_ROWS)
        return lines([*log_json(row).values()] for row in page.items), page.older


@csv_router.get(
    "/api/logs.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "All of them, as CSV."}},
    summary="Download logs",
    dependencies=READ,
)
def download_logs(query: Annotated[LogQuery, Query()]) -> Response:
    """Stream all logs that match the filters as CSV, newest first. The first line names the fields.

    A cell that a spreadsheet could run as a formula starts with an apostrophe.
    """
    text, older = _chunk(query, None)  # before the response starts: an error can still be reported

    def stream() -> Iterator[str]:
        yield lines([[field.alias or name for name, field in Log.model_fields.items()]]) + text
        position = older
        while position is not None:
            more, position = _chunk(query, position)
            yield more

    headers = {"Content-Disposition": 'attachment; filename="logs.csv"'}
    return StreamingResponse(stream(), headers=headers, media_type="text/csv; charset=utf-8")


@router.get("/{sid}", response_model=LogDetail, summary="Get a log", dependencies=READ)
def get_log(sid: Sid, settings: AppSettings) -> Response:
    """Show a log with Twilio's own JSON, its history, its alerts and related logs.

    The request and response of an error-log entry are fetched from Twilio when it is first shown.
    """
    with session_scope() as session:
        found = search.find_log(session, sid)
    if found.log_type == LogType.ERROR:
        details.complete(found.account_id, sid, settings)
    with session_scope() as session:
        row = search.find_log(session, sid)
        whole = search.load_full(session, row)
        shown = log_json(row) | {
            "raw": raw_of(whole, row.account_sid),
            "unreadable": unreadable_of(whole),
            "history": [change_json(change) for change in search.history(session, row.id, row.occurred_at)],
            "alerts": [alert_json(alert) for alert in search.alerts(session, row.id)],
            "related": [log_json(each) for each in search.related(session, row)],
        }
        return resource_response(shown)


router.routes.extend(csv_router.routes)
