"""The delivery table: messages by country, sender or service, logs by code. Worse rows than before are marked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request, Response

from app.api.console.access import SignedIn
from app.api.console.address_times import read_time_of
from app.api.console.links import link
from app.api.console.rendering import render
from app.api.console.routing import make_router
from app.database import session_scope
from app.enums import OTHER_VALUE, LogType
from app.errors import InvalidInput
from app.services.logs.breakdown import P50, P95, Breakdown
from app.services.logs.codes import Code, one_per_code
from app.services.logs.outbound import OUTBOUND
from app.services.logs.search import NONE, WITH_NONE, LogFilter
from app.services.reports import comparison
from app.utils.calendar_edges import shift
from app.utils.clock import cut_to_second, utc_now
from app.utils.countries import NO_COUNTRY, country

router = make_router()
SPANS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
TABS = {
    "to_country": ("Countries", "Country"),
    "from": ("Senders", "Sender"),
    "messaging_service_sid": ("Services", "Messaging service"),
    "error_code": ("Codes", "Code"),
}
OUTBOUND_MESSAGES = OUTBOUND[LogType.MESSAGE]
MAX_ROWS = 200
WORSE_FACTOR = 1.5
MIN_MORE_LOST = 5
MIN_LOGS = 50
"""Rows with fewer messages are never marked: their shares vary by chance."""
SORTS: dict[str, Callable[[Breakdown], Any]] = {
    "lost": lambda each: each.final - each.delivered,
    "total": lambda each: each.total,
    "share": lambda each: None if each.delivered_share is None else -each.delivered_share,
    "p50": lambda each: each.percentile(P50),
    "p95": lambda each: each.percentile(P95),
    "cost": lambda each: max(each.price.values(), default=None),
    "per_delivered": lambda each: max(each.price_per_delivered.values(), default=None),
}
"""The columns to sort by, largest first, missing values last."""


@dataclass(frozen=True)
class Rows:
    """What was found in a span."""

    since: datetime
    until: datetime
    rows: Sequence[tuple[Breakdown, LogType]]
    """With the type of the logs."""
    is_before_known: bool = True
    problem: str = ""
    """Why nothing could be counted."""


@dataclass(frozen=True)
class DeliveryRow:
    """One row of the table."""

    label: str
    href: str
    figures: Breakdown
    p50: timedelta | None
    p95: timedelta | None
    is_worse: bool
    cost: str
    per_delivered: str


@router.get("/delivery")
def show_delivery(request: Request, viewer: SignedIn) -> Response:
    """Show delivery by one field, in a preset span or between the times in the address."""
    asked = request.query_params
    by = asked.get("by", "to_country") if asked.get("by") in TABS else "to_country"
    try:
        span = _span(request)
    except ValueError as error:
        span, found = "", Rows(utc_now(), utc_now(), (), problem=str(error))
    else:
        found = request.app.state.delivery.get(by, span)
    sort = asked.get("sort", "") if asked.get("sort") in SORTS else ("total" if by == "error_code" else "lost")
    rows = sorted(found.rows, key=lambda each: _sort_key(SORTS[sort](each[0])))
    times = {"span": span} if isinstance(span, str) else {"since": found.since, "until": found.until}
    context = {
        "section": "delivery",
        "by": by,
        "span": span,
        "span_words": f"{span[:-1]} {span[-1]}" if span in SPANS else "time of the same length",
        "found": found,
        "spans": list(SPANS),
        "sort": sort,
        "tabs": TABS,
        "rows": [_row(each, by, log_type, found) for each, log_type in rows[:MAX_ROWS]],
        "more": max(0, len(rows) - MAX_ROWS),
        "address": lambda **changed: link("/delivery", **{"by": by, **times, "sort": sort} | changed),
        "spans_address": lambda each: link("/delivery", by=by, sort=sort, span=each),
    }
    return render(request, viewer, "breakdown.html", context)


def _span(request: Request) -> str | tuple[datetime, datetime]:
    """Read the preset span, or the two times.

    Raises: ValueError if a time in the address is invalid.
    """
    since, until = (read_time_of(request, name) for name in ("since", "until"))
    if since is None and until is None:
        asked = request.query_params.get("span", "24h")
        return asked if asked in SPANS else "24h"
    until = until or cut_to_second(utc_now())
    return since or shift(until, -SPANS["24h"]), until


def find_rows(by: str, span: str | tuple[datetime, datetime]) -> Rows:
    """Break the outbound messages of a span down; by code, the logs of the type that has the code most often."""
    now = cut_to_second(utc_now())
    since, until = (now - SPANS[span], now) if isinstance(span, str) else span
    try:
        if by == "error_code":
            return Rows(since, until, _rows_by_code(since, until))
        sent = LogFilter(log_type=(LogType.MESSAGE,), direction=OUTBOUND_MESSAGES, since=since, until=until)
        with session_scope() as session:
            found, is_before_known = comparison.break_down(session, sent, by)
    except InvalidInput as error:
        (fault, *_) = error.errors
        subject = "The span" if fault.field == "since" else f"“{fault.field}”"
        return Rows(since, until, (), problem=f"{subject} {fault.message}")
    return Rows(since, until, [(each, LogType.MESSAGE) for each in found], is_before_known)


def _rows_by_code(since: datetime, until: datetime) -> list[tuple[Breakdown, LogType]]:
    found: dict[Code, Breakdown] = {}
    for log_type in LogType:
        with session_scope() as session:
            wanted = LogFilter(log_type=(log_type,), since=since, until=until)
            rows, _ = comparison.break_down(session, wanted, "error_code")
        found |= {Code(row.value, log_type): row for row in rows if isinstance(row.value, int)}
    return [(found[code], code.log_type) for code in one_per_code({code: row.total for code, row in found.items()})]


def _sort_key(value: float | None) -> tuple[bool, float]:
    return value is None, 0 if value is None else -value


def _row(each: Breakdown, by: str, log_type: LogType, found: Rows) -> DeliveryRow:
    return DeliveryRow(
        label=_label(each.value, by),
        href=_logs(each.value, by, log_type, found),
        figures=each,
        p50=_seconds(each.percentile(P50)),
        p95=_seconds(each.percentile(P95)),
        is_worse=is_worse(each),
        cost=", ".join(f"{price:,.2f} {unit}" for unit, price in sorted(each.price.items())),
        per_delivered=", ".join(f"{price:.4f} {unit}" for unit, price in each.price_per_delivered.items()),
    )


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _label(value: str | int | None, by: str) -> str:
    if value is None:
        return NO_COUNTRY if by == "to_country" else f"no {TABS[by][1].lower()}"
    if value == OTHER_VALUE:
        return "all others"
    return country(str(value)) if by == "to_country" else str(value)


def _logs(value: str | int | None, by: str, log_type: LogType, found: Rows) -> str:
    """Return the address of the logs of a row; empty if no filter finds them."""
    if value == OTHER_VALUE or (value is None and by not in WITH_NONE):
        return ""
    direction = () if by == "error_code" else OUTBOUND_MESSAGES
    wanted = {"log_type": log_type, "direction": direction, f"{by}_": NONE if value is None else value}
    return link("/logs", **wanted, since=found.since, until=found.until)


def is_worse(each: Breakdown) -> bool:
    """Check whether clearly more is lost than before: 1.5 times the share, of enough messages."""
    share_before = each.delivered_share_before
    if share_before is None or min(each.final, each.final_before or 0) < MIN_LOGS:
        return False
    lost, lost_before = 1 - each.delivered / each.final, 1 - share_before
    return lost >= WORSE_FACTOR * lost_before and lost * each.final >= lost_before * each.final + MIN_MORE_LOST
