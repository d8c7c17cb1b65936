"""Logs: a list with filters and a plot, its download, and one log with its history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import orjson
from fastapi import Path, Request, Response
from sqlalchemy.orm import Session

from app.api.console import log_menu, log_plot
from app.api.console.access import SignedIn, Viewer
from app.api.console.chip_names import name_chips
from app.api.console.filters import Chip, Filters, clean_address, neighbours, read_filters
from app.api.console.links import link
from app.api.console.plots.figure import Figure
from app.api.console.rendering import FRAGMENT, redirect, render
from app.api.console.routing import make_router
from app.api.console.step_text import step_text
from app.api.deps import settings_of
from app.api.lists import read_position
from app.api.log_download import download
from app.api.schemas.logs import LogFilters
from app.database import session_scope
from app.enums import LogType
from app.errors import NotFound
from app.models import LogChange
from app.services import names
from app.services.evaluation.current_matches import rules_that_match
from app.services.explain.service import explain
from app.services.explain.steps import Explanation
from app.services.explain.survey import RuleOutcome, survey_rules
from app.services.ingest import error_details
from app.services.logs import alert_logs, relaxed_filters, search
from app.services.logs.raw import raw_of, unreadable_of
from app.services.twilio import sms_encoding
from app.services.twilio.error_codes import describe
from app.utils.clock import utc_now
from app.utils.console_links import record_url
from app.utils.quantities import counted
from app.utils.sids import SID

router = make_router()
PAGE_SIZE = 50
LABELS = {
    "log_type": "type",
    "error_code": "code",
    "to_country": "to country",
    "account_sid": "account",
    "messaging_service_sid": "service",
    "q": "contains",
    "since": "from",
    "until": "before",
}
NEWS = {
    "error_code": "its error code",
    "error_message": "its error message",
    "price": "its price",
    "duration_seconds": "its duration",
    "segments": "its segments",
    "from_": "its sender",
}
"""What may change while the status stays, in words."""
RULE_FILTERS = (
    "log_type", "status", "error_code", "level", "direction", "from", "to", "to_country", "account_sid",
    "messaging_service_sid", "q",
)  # fmt: skip
"""Filters that a new rule takes over; it has no span."""
Sid = Annotated[str, Path(pattern=SID)]


def _filters(request: Request, viewer: Viewer, now: datetime) -> Filters[LogFilters]:
    return read_filters(LogFilters, "/logs", request.query_params.multi_items(), now, LABELS, viewer.zone)


@router.get("/logs")
def list_logs(request: Request, viewer: SignedIn) -> Response:
    """List the logs that the filters of the address let through, under a plot of them."""
    clean = clean_address("/logs", request.query_params.multi_items(), viewer.zone)
    if clean is not None:
        return redirect(request, clean)
    now = utc_now()
    filters = _filters(request, viewer, now)
    plot, total = _plot(request, viewer, filters, now)
    used = filters.used()
    context = {
        "section": "logs",
        **_found_logs(request, filters),
        "q": filters.given.get("q", ""),
        "hidden": [(name, value) for name, value in filters.given.items() if name != "q"],
        "groups": log_menu.groups(filters),
        "fields": [field for field in log_menu.FIELDS if field[0] not in filters.given],
        "times": [each for each in (("since", "From"), ("until", "Until")) if each[0] not in filters.given],
        "csv": link("/logs.csv", **{f"{name}_": value for name, value in used.items()}),
        "rule": link("/rules/new", **{f"{name}_": used[name] for name in RULE_FILTERS if name in used}),
        "plot": plot,
        "total": total,
        "plot_address": filters.replaced(plot="yes"),
        "default_span": "since" not in used,
    }
    return render(request, viewer, "logs.html", context)


def _found_logs(request: Request, filters: Filters[LogFilters]) -> dict[str, Any]:
    """Read a page of logs, unless only the plot is asked for, and what to drop from filters that find none."""
    if request.headers.get(FRAGMENT) == "plot":
        return {"logs": (), "chips": filters.chips, "drops": (), "beside": None}
    query = filters.query.model_copy(update={"cursor": request.query_params.get("cursor"), "limit": PAGE_SIZE})
    with session_scope() as session:
        position = read_position("logs", query, search.SORT_KEY)
        page = search.list_logs(session, query.to_filter(), position, PAGE_SIZE)
        chips = name_chips(session, filters, LABELS, settings_of(request))
    return {
        "logs": page.items,
        "chips": chips,
        "drops": () if page.items else _drops(query, chips),
        "beside": neighbours("logs", query, page, filters.address),
    }


class Drop(NamedTuple):
    """A filter that could be dropped from a search that found nothing."""

    chip: Chip
    found: str
    """How many logs there would be; empty: not known."""


def _drops(query: LogFilters, chips: Sequence[Chip]) -> list[Drop]:
    """Count the logs without each filter, most first; filters whose removal finds none are left out."""
    fields = {chip.name: "from_" if chip.name == "from" else chip.name for chip in chips if not chip.error}
    without = {
        name: query.model_copy(update={field: LogFilters.model_fields[field].default}).to_filter()
        for name, field in fields.items()
    }
    with session_scope() as session:
        counts = relaxed_filters.count_each(session, without)
    useful = [chip for chip in chips if not chip.error and counts.get(chip.name, not counts)]
    useful.sort(key=lambda chip: -counts.get(chip.name, 0))
    return [Drop(chip, _found(counts.get(chip.name))) for chip in useful]


def _found(number: int | None) -> str:
    if number is None:
        return ""
    most = relaxed_filters.MOST
    return f"more than {most} logs" if number > most else counted(number, "log")


def _plot(request: Request, viewer: Viewer, filters: Filters[LogFilters], now: datetime) -> tuple[Figure | None, int]:
    """Draw the plot: immediately if that is fast, otherwise on request."""
    wanted = log_plot.with_span(filters.query, now)
    if not log_plot.is_quick(wanted) and request.query_params.get("plot") != "yes":
        return None, 0
    with session_scope() as session:
        return log_plot.draw(session, viewer, wanted, filters)


@router.get("/logs.csv")
def download_logs(request: Request, viewer: SignedIn) -> Response:
    """Download the logs that the filters of the address match."""
    return download(_filters(request, viewer, utc_now()).query)


@dataclass(frozen=True)
class State:
    """One state of a log, and how it was learned."""

    change: LogChange
    after: timedelta | None
    """The time since the previous state; None for the first."""
    seen_after: timedelta
    """How long after its start it was seen."""
    news: Sequence[str]
    """What changed if the status did not."""


def _states(history: Sequence[LogChange]) -> list[State]:
    before: list[LogChange | None] = [None, *history]
    return [
        State(
            change,
            None if earlier is None else change.changed_at - earlier.changed_at,
            change.seen_at - change.changed_at,
            () if earlier is None or earlier.status != change.status else _news(earlier, change),
        )
        for change, earlier in zip(history, before, strict=False)
    ]


def _news(before: LogChange, after: LogChange) -> list[str]:
    changed = [name for name in NEWS if getattr(before, name) != getattr(after, name)]
    # The message only says what the code means.
    return [NEWS[name] for name in changed if name != "error_message" or "error_code" not in changed]


@router.get("/logs/{sid}")
def show_log(request: Request, viewer: SignedIn, sid: Sid) -> Response:
    """Show one log with its history, alerts and related logs."""
    with session_scope() as session:
        found = search.find_log(session, sid)
    if found.log_type == LogType.ERROR:
        error_details.fetch_once(found.account_id, sid, settings_of(request))
    with session_scope() as session:
        row = search.find_log(session, sid)
        whole = search.load_full(session, row)
        raw = raw_of(whole, row.account_sid)
        context: dict[str, Any] = {
            "section": "logs",
            "log": row,
            "account": names.names_of(session, {"account_sid": [row.account_sid]}, settings_of(request)),
            "meaning": None if row.error_code is None else describe(row.error_code),
            "raw": orjson.dumps(raw, option=orjson.OPT_INDENT_2).decode(),
            "exchange": _exchange(raw) if row.log_type == LogType.ERROR else {},
            "unreadable": unreadable_of(whole),
            "states": _states(search.history(session, row.id, row.occurred_at)),
            "alerts": alert_logs.alerts_of_log(session, row.id),
            "related": search.related(session, row),
            "encoding": sms_encoding.encoding_of(row.log_type, row.text_),
            "keeps_text": settings_of(request).store_message_bodies,
            "twilio_url": record_url(row.sid, row.account_sid),
        }
        session.expunge_all()
        context["rules"] = rules_that_match(session, row)
        context["alerted_rules"] = {alert.rule_id for alert in context["alerts"]}
        asked = request.query_params.get("rule")
        context["step_text"] = step_text
        context["explained"] = _explained(request, session, row.sid, asked) if asked else None
        is_surveyed = asked and context["explained"] is None
        context["outcomes"] = _outcomes(request, session, row.sid) if is_surveyed else None
        context["rule_names"] = names.rules_for(session, row.log_type) if asked else {}
    return render(request, viewer, "log.html", context)


def _explained(request: Request, session: Session, sid: str, asked: str) -> tuple[UUID, Explanation] | None:
    """Explain the rule that the address names; None if there is none."""
    try:
        rule_id = UUID(asked)
        return rule_id, explain(session, sid, rule_id, settings_of(request), utc_now())
    except (ValueError, NotFound):
        return None


def _outcomes(request: Request, session: Session, sid: str) -> Sequence[RuleOutcome]:
    """Find what became of a log under each rule; nothing is known of a log whose history was not kept."""
    try:
        return survey_rules(session, sid, settings_of(request))
    except NotFound:
        return ()


def _exchange(raw: Mapping[str, Any]) -> dict[str, str]:
    """Return Twilio's request to a server and the response, as far as known."""
    names = ("request_method", "request_url", "request_variables", "response_headers", "response_body")
    return {name: str(raw[name]) for name in names if raw.get(name)}
