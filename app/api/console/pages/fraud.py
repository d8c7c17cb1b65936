"""Fraud watch: what looks like pumping or toll fraud, with advice and a rule; all countries and what they cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import Request, Response

from app.api.console import rule_form
from app.api.console.access import SignedIn
from app.api.console.links import link
from app.api.console.plots import paths
from app.api.console.rendering import render
from app.api.console.routing import make_router
from app.api.deps import settings_of
from app.database import session_scope
from app.enums import LogType
from app.errors import InvalidInput
from app.services.fraud import watch
from app.services.fraud.suspicions import Suspicion
from app.services.fraud.watch import FraudWatch, Key
from app.services.fraud.weeks import Comparison
from app.services.logs.outbound import OUTBOUND
from app.services.logs.search import NONE
from app.services.logs.stats import bucket_starts
from app.services.logs.tallies import hour_start
from app.utils.clock import cut_to_second, utc_now
from app.utils.quantities import counted

router = make_router()
SPANS = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
WORDS = {"1h": "hour", "24h": "24 hours", "7d": "7 days"}
MAX_ROWS = 50


@dataclass(frozen=True)
class SuspicionRow:
    """One suspicion as the page shows it."""

    found: Suspicion
    detail: str
    logs: str
    """Address of its logs; of a masked prefix, that of all logs to its country."""
    rule: str
    """Address of a new rule that alerts on the same."""


@router.get("/fraud")
def show_fraud(request: Request, viewer: SignedIn) -> Response:
    """Show what looks like fraud in a span."""
    asked = request.query_params.get("span", "")
    span = asked if asked in SPANS else "24h"
    found, problem = request.app.state.fraud.get(span)
    context: dict[str, Any] = {"section": "fraud", "span": span, "spans": [*SPANS], "found": found, "problem": problem}
    if found is not None:
        masked = settings_of(request).mask_numbers
        unknown = [log_type for log_type in OUTBOUND if not _is_usual_known(log_type, found)]
        context |= {
            "sentence": _sentence(len(found.suspicions), span, is_known=not unknown),
            "rows": [_row(each, found, masked=masked) for each in found.suspicions],
            "countries": [*found.countries.items()][:MAX_ROWS],
            "spend": [*found.spend.items()][:MAX_ROWS],
            "more": max(0, len(found.countries) - MAX_ROWS),
            "spark_of": lambda each: paths.spark(_hourly(each, found)),
            "logs": lambda key: logs_address(key, found),
            "unknown": unknown,
        }
    return render(request, viewer, "fraud.html", context)


def _is_usual_known(log_type: LogType, found: FraudWatch) -> bool:
    known_from = found.known_from.get(log_type)
    return known_from is not None and known_from <= found.since - watch.MIN_HISTORY


def _sentence(count: int, span: str, *, is_known: bool) -> str:
    """Answer what everybody who opens the page asks."""
    when = f"in the last {WORDS[span]}"
    if count:
        return f"{counted(count, 'thing looks', 'things look')} like pumping or toll fraud {when}."
    known = "" if is_known else ", as far as is known yet"
    return f"Nothing looks like pumping or toll fraud {when}{known}."


def find_fraud(span: str) -> tuple[FraudWatch | None, str]:
    """Return what looks like fraud in a span, or what kept it from being found."""
    until = cut_to_second(utc_now())
    try:
        with session_scope() as session:
            return watch.watch(session, until - SPANS[span], until), ""
    except InvalidInput as error:
        return None, error.errors[0].message


def _row(each: Suspicion, found: FraudWatch, *, masked: bool) -> SuspicionRow:
    logs = logs_address(Key(each.log_type, each.to_country), found)
    if each.prefix and each.prefix == each.shown_prefix(masked=masked):
        span = {"since": found.since, "until": found.until}
        logs = link("/logs", log_type=each.log_type, direction=OUTBOUND[each.log_type], q=each.prefix, **span)
    return SuspicionRow(each, each.detail(masked=masked), logs, rule_address(each.rule(masked=masked)))


def _hourly(each: Comparison, found: FraudWatch) -> list[float]:
    """Return the value of every hour of the span."""
    values = dict(each.hours)
    return [values.get(hour_start(at), 0) for at in bucket_starts(found.since, found.until, "hour")]


def logs_address(key: Key, found: FraudWatch) -> str:
    """Return the address of the outbound logs to a country, or to numbers without one."""
    span = {"since": found.since, "until": found.until}
    direction = OUTBOUND[key.log_type]
    return link("/logs", log_type=key.log_type, direction=direction, to_country=key.to_country or NONE, **span)


def rule_address(body: Mapping[str, Any]) -> str:
    """Return the address of the form of a new rule, filled in with a body."""
    empty = rule_form.from_body({}).fields
    filled = rule_form.from_body(body).fields
    changed = {name: values for name, values in filled.items() if values and values != empty.get(name)}
    return link("/rules/new", log_type_=body["log_type"], **{name: [*values] for name, values in changed.items()})
