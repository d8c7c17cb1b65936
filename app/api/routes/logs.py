"""Logs: list, download as CSV, show one with its history and alerts."""

from typing import Annotated

from fastapi import Path, Query, Response

from app.api.deps import AppSettings
from app.api.lists import page_response, read_position
from app.api.log_download import download
from app.api.responses import json_response, resource_response
from app.api.routing import make_router
from app.api.schemas.common import EXAMPLE_MESSAGE
from app.api.schemas.explanations import ExplainQuery, Explanation, RuleOutcomes
from app.api.schemas.logs import LogDetail, LogFilters, LogPage, LogQuery
from app.api.security import READ
from app.database import session_scope
from app.enums import LogType
from app.services.explain import service, survey
from app.services.ingest import error_details
from app.services.logs import alert_logs, filter_warnings, search
from app.services.logs.raw import raw_of, unreadable_of
from app.services.serializers import alert_json, change_json, log_json
from app.services.twilio.sms_encoding import encoding_of
from app.utils.clock import utc_now
from app.utils.sids import SID

router = make_router("Logs", prefix="/api/logs")
csv_router = make_router("Logs")
Sid = Annotated[str, Path(pattern=SID, description="Twilio's sid of the log.", examples=[EXAMPLE_MESSAGE])]


@router.get("", response_model=LogPage, summary="List logs", dependencies=READ)
def list_logs(query: Annotated[LogFilters, Query()]) -> Response:
    """List logs, newest first by the time at which Twilio created them."""
    with session_scope() as session:
        position = read_position("logs", query, search.SORT_KEY)
        page = search.list_logs(session, query.to_filter(), position, query.limit)
        warnings = filter_warnings.list_warnings(session, query.to_filter())
        return page_response("logs", query, [log_json(row) for row in page.items], page.older, warnings)


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
    return download(query)


@router.get("/{sid}", response_model=LogDetail, summary="Get a log", dependencies=READ)
def get_log(sid: Sid, settings: AppSettings) -> Response:
    """Show a log with Twilio's own JSON, its history, its alerts, related logs, and the encoding of its text.

    The request and response of an error-log entry are fetched from Twilio when it is first shown.
    """
    with session_scope() as session:
        found = search.find_log(session, sid)
    if found.log_type == LogType.ERROR:
        error_details.fetch_once(found.account_id, sid, settings)
    with session_scope() as session:
        row = search.find_log(session, sid)
        whole = search.load_full(session, row)
        encoding = encoding_of(row.log_type, row.text_)
        shown = log_json(row) | {
            "encoding": encoding and encoding._asdict(),
            "raw": raw_of(whole, row.account_sid),
            "unreadable": unreadable_of(whole),
            "history": [change_json(change) for change in search.history(session, row.id, row.occurred_at)],
            "alerts": [alert_json(alert) for alert in alert_logs.alerts_of_log(session, row.id)],
            "related": [log_json(each) for each in search.related(session, row)],
        }
        return resource_response(shown)


@router.get(
    "/{sid}/explain", response_model=Explanation, summary="Explain whether a rule alerted on a log", dependencies=READ
)
def explain_log(sid: Sid, query: Annotated[ExplainQuery, Query()], settings: AppSettings) -> Response:
    """Explain why a rule did or did not alert on a log, and who was notified: step by step, with the values.

    The steps are those of the evaluation, and use its functions, up to the one that the log did not pass. The rule and
    the log are read as they are now.
    """
    with session_scope() as session:
        found = service.explain(session, sid, query.rule_id, settings, utc_now())
    return json_response(found.as_json())


@router.get(
    "/{sid}/rules", response_model=RuleOutcomes, summary="List what became of a log under each rule", dependencies=READ
)
def list_rules_of_log(sid: Sid, settings: AppSettings) -> Response:
    """List the rules of the log's type with the step that keeps each from taking it.

    `GET /api/logs/{sid}/explain` shows all steps of one rule, and what followed where it took the log.
    """
    with session_scope() as session:
        found = survey.survey_rules(session, sid, settings)
    return json_response({"items": [survey.to_json(each) for each in found]})


router.routes.extend(csv_router.routes)
