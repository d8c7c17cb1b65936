"""The delivery table: messages by country, sender or service, logs by code. Worse rows than before are marked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request, Response

from app.api.console.access import SignedIn
from app.api.console.rendering import link, render
from app.api.console.routing import make_router
from app.database import session_scope
from app.enums import LogType
from app.errors import InvalidInput
from app.services.logs.breakdown import P50, P95, Breakdown
from app.services.logs.search import LogFilter
from app.services.logs.stats import OTHER
from app.services.reports import comparison
from app.utils.clock import utc_now
from app.utils.countries import country

router = make_router()
SPANS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
TABS = {
    "to_country": ("Countries", "Country"),
    "from": ("Senders", "Sender"),
    "messaging_service_sid": ("Services", "Messaging service"),
    "error_code": ("Codes", "Code"),
}
OUTBOUND = ("outbound-api", "outbound-call", "outbound-reply")
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
    "per_delivered": lambda each: max(each.price.values()) / each.delivered if each.price and each.delivered else None,
}
"""The columns to sort by, largest first, missing values last."""


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
    """Show what was delivered, by one field."""
    asked = request.query_params
    by = asked.get("by", "to_country") if asked.get("by") in TABS else "to_country"
    span = asked.get("span", "24h") if asked.get("span") in SPANS else "24h"
    sort = asked.get("sort", "") if asked.get("sort") in SORTS else ("total" if by == "error_code" else "lost")
    found, is_before_known, problem = request.app.state.delivery.get(by, span)
    found = sorted(found, key=lambda each: _sort_key(SORTS[sort](each)))
    context = {
        "section": "delivery",
        "by": by,
        "span": span,
        "spans": list(SPANS),
        "sort": sort,
        "tabs": TABS,
        "rows": [_row(each, by, span) for each in found[:MAX_ROWS]],
        "more": max(0, len(found) - MAX_ROWS),
        "is_before_known": is_before_known,
        "problem": problem,
        "address": lambda **changed: link("/delivery", **{"by": by, "span": span, "sort": sort} | changed),
    }
    return render(request, viewer, "breakdown.html", context)


def _wanted(by: str, since: datetime, until: datetime) -> LogFilter:
    """Restrict the filter to outbound messages; for codes, use all logs."""
    if by == "error_code":
        return LogFilter(since=since, until=until)
    return LogFilter(log_type=(LogType.MESSAGE,), direction=OUTBOUND, since=since, until=until)


def find_rows(by: str, span: str) -> tuple[Sequence[Breakdown], bool, str]:
    """Return the rows, whether the previous span is known, and why they could not be counted."""
    until = utc_now()
    try:
        with session_scope() as session:
            found, is_before_known = comparison.break_down(session, _wanted(by, until - SPANS[span], until), by)
    except InvalidInput as error:
        return [], True, error.errors[0].message
    return [each for each in found if by != "error_code" or each.value is not None], is_before_known, ""


def _sort_key(value: float | None) -> tuple[bool, float]:
    return value is None, 0 if value is None else -value


def _row(each: Breakdown, by: str, span: str) -> DeliveryRow:
    return DeliveryRow(
        label=_label(each.value, by),
        href=_logs(each.value, by, span),
        figures=each,
        p50=_seconds(each.percentile(P50)),
        p95=_seconds(each.percentile(P95)),
        is_worse=is_worse(each),
        cost=", ".join(f"{price:,.2f} {unit}" for unit, price in sorted(each.price.items())),
        per_delivered=", ".join(f"{price / each.delivered:.4f} {unit}" for unit, price in sorted(each.price.items()))
        if each.delivered
        else "",
    )


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _label(value: str | int | None, by: str) -> str:
    if value is None or value == OTHER:
        return f"no {TABS[by][1].lower()}" if value is None else "all others"
    return country(str(value)) if by == "to_country" else str(value)


def _logs(value: str | int | None, by: str, span: str) -> str:
    """Return the address of the logs of a row; empty if no filter finds them."""
    if value is None or value == OTHER:
        return ""
    narrowed = {} if by == "error_code" else {"log_type": LogType.MESSAGE, "direction": OUTBOUND}
    return link("/logs", **narrowed, **{f"{by}_": value}, since=span)


def is_worse(each: Breakdown) -> bool:
    """Check whether clearly more is lost than before: 1.5 times the share, of enough messages."""
    share_before = each.delivered_share_before
    if share_before is None or min(each.final, each.final_before or 0) < MIN_LOGS:
        return False
    lost, lost_before = 1 - each.delivered / each.final, 1 - share_before
    return lost >= WORSE_FACTOR * lost_before and lost * each.final >= lost_before * each.final + MIN_MORE_LOST
