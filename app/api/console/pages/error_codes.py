"""The pages of Twilio's error codes: search, and one code with its own history here."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Path, Request, Response

from app.api.console.access import SignedIn, Viewer
from app.api.console.plots import figure
from app.api.console.plots.figure import Axis, Figure, Series, Style
from app.api.console.rendering import link, render
from app.api.console.routing import make_router
from app.database import session_scope
from app.services.logs import stats
from app.services.logs.search import LogFilter
from app.services.twilio import code_groups, error_codes
from app.utils.clock import utc_now

router = make_router()
PAGE_SIZE = 100
HISTORY_DAYS = 30
DAY = timedelta(days=1)
Code = Annotated[int, Path(ge=1, le=999_999)]


@router.get("/error-codes")
def list_error_codes(request: Request, viewer: SignedIn) -> Response:
    """Search the catalogue by number or word."""
    wanted = request.query_params.get("q", "").strip()
    words = wanted.lower().split()
    found = [
        each
        for each in error_codes.all_codes()
        if all(word in f"{each.code} {each.message} {each.family} {each.product or ''}".lower() for word in words)
    ]
    after = request.query_params.get("after", "")
    start = int(after) if after.isdigit() else 0
    shown = [each for each in found if each.code > start]
    more = link("/error-codes", q=wanted, after=shown[PAGE_SIZE - 1].code) if len(shown) > PAGE_SIZE else None
    context = {"section": "error-codes", "q": wanted, "codes": shown[:PAGE_SIZE], "total": len(found), "more": more}
    context["groups"] = [] if wanted or start else code_groups.all_groups()
    return render(request, viewer, "error_codes.html", context)


@router.get("/error-codes/{code}")
def show_error_code(request: Request, viewer: SignedIn, code: Code) -> Response:
    """Show what a code means, and how often it came in the last 30 days. An unknown code is a page, too (404)."""
    is_known = error_codes.is_known(code)
    history, total = _history(viewer, code, utc_now())
    context = {
        "section": "error-codes",
        "code": error_codes.describe(code),
        "is_known": is_known,
        "history": history,
        "total": total,
        "days": HISTORY_DAYS,
    }
    return render(request, viewer, "error_code.html", context, 200 if is_known else 404)


def _history(viewer: Viewer, code: int, now: datetime) -> tuple[Figure, int]:
    until = now.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    since = until - HISTORY_DAYS * DAY
    with session_scope() as session:
        counts = stats.Snapshot(session).count(LogFilter(error_code=(code,), since=since, until=until), "day", None)
    by_day = {each.at: each.count for each in counts}
    starts = [since + number * DAY for number in range(HISTORY_DAYS)]
    values = [by_day.get(at, 0) for at in starts]
    axis = Axis(
        starts,
        until,
        viewer.zone,
        lambda first, last: link("/logs", error_code=code, since=first, until=last),
        lambda at: f"{at:%a} {at.day} {at:%b}",
    )
    caption = f"{sum(values):,} logs in {HISTORY_DAYS} days."
    series = [Series("logs", values, "bars-bad", "bad")]
    return figure.draw(f"Logs with error {code}", caption, axis, series, Style()), sum(values)
