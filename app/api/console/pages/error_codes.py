"""The pages of Twilio's error codes: search, and one code with its own history here."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, NamedTuple

from fastapi import Path, Request, Response

from app.api.console.access import SignedIn, Viewer
from app.api.console.links import link
from app.api.console.plots import figure
from app.api.console.plots.figure import Axis, Figure, Series, Style
from app.api.console.rendering import render
from app.api.console.routing import make_router
from app.database import session_scope
from app.enums import OTHER_VALUE
from app.services import names
from app.services.logs import stats
from app.services.logs.codes import count_codes, one_per_code
from app.services.logs.search import LogFilter
from app.services.twilio import code_groups, error_codes
from app.utils.clock import cut_to_second, utc_now
from app.utils.digits import read_digits

router = make_router()
PAGE_SIZE = 100
HISTORY_DAYS = 30
DAY = timedelta(days=1)
SPLITS: Mapping[stats.StatsField, str] = {"from": "Senders", "to_country": "Countries"}
"""Fields that a code's logs are counted by."""
MAX_ROWS = 5
Code = Annotated[int, Path(ge=1, le=999_999)]


class Split(NamedTuple):
    """A code's logs by the values of a field."""

    label: str
    rows: Sequence[tuple[str, int, str]]
    """Value, number of logs, and the address of these."""


class History(NamedTuple):
    """A code's logs in the time that is shown."""

    plot: Figure
    total: int
    logs: str
    """The address of all of them."""
    splits: Sequence[Split]


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
    start = read_digits(request.query_params.get("after", "")) or 0
    shown = [each for each in found if each.code > start]
    more = link("/error-codes", q=wanted, after=shown[PAGE_SIZE - 1].code) if len(shown) > PAGE_SIZE else None
    context = {"section": "error-codes", "q": wanted, "codes": shown[:PAGE_SIZE], "total": len(found), "more": more}
    context["groups"] = [] if wanted or start else code_groups.all_groups()
    return render(request, viewer, "error_codes.html", context)


@router.get("/error-codes/{code}")
def show_error_code(request: Request, viewer: SignedIn, code: Code) -> Response:
    """Show what a code means, and how often it came in the last 30 days. An unknown code is a page, too (404)."""
    is_known = error_codes.is_known(code)
    history = _history(viewer, code, cut_to_second(utc_now()))
    with session_scope() as session:
        rules = names.rules_about_code(session, code)
    context = {
        "section": "error-codes",
        "code": error_codes.describe(code),
        "is_known": is_known,
        "history": history,
        "rules": rules,
        "days": HISTORY_DAYS,
    }
    return render(request, viewer, "error_code.html", context, 200 if is_known else 404)


def _history(viewer: Viewer, code: int, now: datetime) -> History:
    """Count the logs of the type that has the code most often; the others repeat the same failures."""
    since = now - HISTORY_DAYS * DAY
    wanted = LogFilter(error_code=(code,), since=since, until=now)
    with session_scope() as session:
        snapshot = stats.Snapshot(session)
        chosen = tuple(each.log_type for each in one_per_code(count_codes(snapshot, wanted)))
        counts = {field: snapshot.count(replace(wanted, log_type=chosen), "day", field) for field in SPLITS}
    by_day: Counter[datetime] = Counter()
    for each in counts["to_country"]:
        by_day[max(each.at, since)] += each.count
    href = partial(link, "/logs", log_type=chosen, error_code=code)
    axis = Axis(
        stats.bucket_starts(since, now, "day"),
        now,
        viewer.zone,
        lambda first, last: href(since=first, until=last),
        lambda at: f"{at:%a} {at.day} {at:%b}",
    )
    splits = [_split(field, counts[field], partial(href, since=since, until=now)) for field in SPLITS]
    return History(
        _draw(code, axis, by_day),
        by_day.total(),
        href(since=since, until=now),
        [split for split in splits if split.rows],
    )


def _split(field: stats.StatsField, counts: Sequence[stats.Count], href: Callable[..., str]) -> Split:
    found: Counter[str] = Counter()
    for each in counts:
        found[str(each.value or "")] += each.count
    rows = [
        (value, number, href(**{f"{field}_": value}))
        for value, number in found.most_common()
        if value not in ("", OTHER_VALUE)
    ]
    return Split(SPLITS[field], rows[:MAX_ROWS])


def _draw(code: int, axis: Axis, by_day: Mapping[datetime, int]) -> Figure:
    values = [by_day.get(at, 0) for at in axis.starts]
    caption = f"{sum(values):,} logs in {HISTORY_DAYS} days."
    series = [Series("logs", values, "bars-bad", "bad")]
    return figure.draw(f"Logs with error {code}", caption, axis, series, Style())
