"""The report of a day, a week or any other span, as in mails and webhooks; suitable for printing."""

from datetime import datetime, timedelta

from fastapi import Request, Response

from app.actions import report_advice, report_text
from app.api.console import report_view
from app.api.console.access import SignedIn
from app.api.console.address_times import read_time_of
from app.api.console.rendering import render
from app.api.console.routing import make_router
from app.errors import InvalidInput
from app.utils.calendar_edges import shift
from app.utils.clock import utc_now

router = make_router()


@router.get("/report")
def show_report(request: Request, viewer: SignedIn) -> Response:
    """Show the report of the span in the address, else of the last day or week."""
    every = "day" if request.query_params.get("every") == "day" else "week"
    context = {
        "section": "report",
        "every": every,
        "words": report_text,
        "next_step": report_advice.next_step,
        "problem": "",
        "report": None,
    }
    try:
        since, until = _span(request, every)
        report = request.app.state.reports.get(since, until, viewer.zone.key)
    except (ValueError, InvalidInput) as error:
        problem = error.errors[0] if isinstance(error, InvalidInput) else None
        context["problem"] = f"{problem.field} {problem.message}" if problem else f"{error}"
        return render(request, viewer, "report.html", context, 422)
    context |= {
        "report": report,
        "zone": viewer.zone.key,
        "plot": report_view.draw_traffic(report, viewer.zone),
        "since": since,
        "until": until,
        "length": _name_of(until - since),
        "earlier": report_view.shifted(since, until, -1),
        "later": report_view.shifted(since, until, 1) if until <= utc_now() - (until - since) else "",
    }
    return render(request, viewer, "report.html", context)


def _span(request: Request, every: str) -> tuple[datetime, datetime]:
    """Read the span.

    Raises: ValueError if a time in the address is invalid.
    """
    until = read_time_of(request, "until") or report_view.latest_end(utc_now())
    return read_time_of(request, "since") or shift(until, -report_view.SPANS[every]), until


def _name_of(length: timedelta) -> str:
    """Name the selected span; empty for any other."""
    return next((name for name, span in report_view.SPANS.items() if abs(length - span) <= timedelta(hours=1)), "")
