"""The overview: open alerts, traffic, and the state of GiftPulse itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import Request, Response

from app.api.console import failures, first_steps, texts
from app.api.console.access import AnyScope, SignedIn, Viewer, Writer
from app.api.console.failures import FailureRow
from app.api.console.flash import Flash
from app.api.console.links import link
from app.api.console.plots import figure, paths
from app.api.console.plots.figure import Axis, Figure, Series, Style
from app.api.console.rendering import redirect, render
from app.api.console.routing import make_router
from app.api.console.traffic import RANGES, Range, Traffic, share_of
from app.api.deps import settings_of
from app.database import session_scope
from app.enums import LogType
from app.services import console_state, setup
from app.services.alerts import search
from app.services.alerts.search import OpenAlerts
from app.services.evaluation.rule_set import read_version
from app.services.health import Health
from app.services.logs.codes import Code
from app.services.rules.words import PLURALS
from app.services.setup import FirstSteps
from app.services.twilio import simulator
from app.services.twilio.error_codes import ErrorCode, describe
from app.services.unwatched import SHOWN_SPAN
from app.utils.calendar_edges import to_zone
from app.utils.clock import utc_now
from app.utils.quantities import counted

router = make_router()
SETUP_CARD = "set-up"
MAX_ALERTS = 8
DEFAULT_RANGE, DEFAULT_WHERE = "24h", "country"
SPARK_BARS = 24
FAULT_TONES = {"customer": "bad", "carrier": "warn", "twilio": "info"}


@router.get("/")
def show_overview(request: Request, viewer: SignedIn) -> Response:
    """Show the open alerts, the traffic, and what fails most."""
    span = request.query_params.get("span", DEFAULT_RANGE)
    span = span if span in RANGES else DEFAULT_RANGE
    where = request.query_params.get("where", DEFAULT_WHERE)
    where = where if where in failures.DIMENSIONS else DEFAULT_WHERE
    traffic: Traffic = request.app.state.traffic.get(span)
    context = {
        "section": "overview",
        "span": span,
        "spans": list(RANGES),
        "words": RANGES[span].words,
        **_state_context(request, viewer, traffic, RANGES[span]),
        **_traffic_context(viewer, traffic, RANGES[span]),
        **_failures_context(request, span, where),
        "spend": request.app.state.spend.get(),
        "nouns": PLURALS,
    }
    return render(request, viewer, "overview.html", context)


def _state_context(request: Request, viewer: Viewer, traffic: Traffic, span: Range) -> dict[str, Any]:
    """Read the open alerts, the health, what is left to set up, and the codes that no rule watches."""
    with session_scope() as session:
        alerts = search.list_urgent(session, MAX_ALERTS)
        opened, ended_at = search.count_open(session), search.last_resolved_at(session)
        counts = search.count_over_time(session, alerts, utc_now(), SPARK_BARS)
        hidden = console_state.is_hidden(session, viewer.session.key_id, SETUP_CARD)
        progress = setup.first_steps(session)
        version = read_version(session)
        session.expunge_all()
    health: Health = request.app.state.health.get()
    unwatched, unwatched_until = request.app.state.unwatched.get(version)
    return {
        "sentence": _sentence(opened, health, progress, traffic, span),
        "health": health,
        "steps": [] if hidden else first_steps.left(progress, settings_of(request)),
        "progress": progress,
        "alerts": alerts,
        "trends": {alert_id: paths.spark(each, 1)._replace(limit=None) for alert_id, each in counts.items()},
        "more_alerts": max(0, opened.total - len(alerts)),
        "ended_at": ended_at,
        "unwatched": [(item, describe(item.error_code)) for item in unwatched],
        "unwatched_span": {"since": unwatched_until - SHOWN_SPAN, "until": unwatched_until},
    }


def _traffic_context(viewer: Viewer, traffic: Traffic, span: Range) -> dict[str, Any]:
    sent, called = sum(traffic.messages.values()), sum(traffic.calls.values())
    return {
        "traffic": traffic,
        "whole": {"since": traffic.since, "until": traffic.until},
        "messages_total": sent,
        "messages_change": texts.change(sent, traffic.messages_before),
        "calls_total": called,
        "calls_change": texts.change(called, traffic.calls_before),
        "share": share_of(traffic.delivered),
        "share_before": share_of(traffic.delivered_before),
        "messages": _outcomes(viewer, traffic, span, LogType.MESSAGE),
        "calls": _outcomes(viewer, traffic, span, LogType.CALL),
        "delivered": _delivered(viewer, traffic, span),
        "codes": [_code_row(code, logs, by_time) for code, logs, by_time in traffic.codes],
    }


def _failures_context(request: Request, span: str, where: str) -> dict[str, Any]:
    rows: Sequence[FailureRow] = request.app.state.failures.get(span, where)
    return {
        "where": where,
        "wheres": [(key, f"By {key}") for key in failures.DIMENSIONS],
        "where_title": failures.DIMENSIONS[where][0],
        "failures": rows,
        "worst_share": max((each for row in rows for each in (row.share, row.usual or 0)), default=0) or 1,
    }


@router.post("/set-up/hide")
def hide_set_up(request: Request, viewer: AnyScope) -> Response:
    """Hide the set-up card from all who use this key."""
    with session_scope() as session:
        console_state.hide(session, viewer.session.key_id, SETUP_CARD)
    return redirect(request, "/", Flash("The set-up card is hidden for your key.", undo="/set-up/show"))


@router.post("/set-up/show")
def show_set_up(request: Request, viewer: AnyScope) -> Response:
    """Show the set-up card again."""
    with session_scope() as session:
        console_state.show(session, viewer.session.key_id, SETUP_CARD)
    return redirect(request, "/")


@router.post("/simulator/carrier-filtering")
def make_trouble(request: Request, _: Writer) -> Response:
    """Start an incident in the simulator, to show a newcomer what follows."""
    simulator.start_incident(settings_of(request), "carrier_filtering")
    text = "A carrier filters one sender now. Within a minute an alert opens here, and its mail goes out."
    return redirect(request, "/", Flash(text))


def _sentence(opened: OpenAlerts, health: Health, progress: FirstSteps, traffic: Traffic, span: Range) -> str:
    """Summarize the state in one sentence. What GiftPulse cannot see comes first."""
    if not progress.accounts:
        return "No account is watched yet."
    if health.checks["polling"].status != "ok":
        return _unread_sentence(health.checks["polling"].unread, progress.accounts)
    if not opened.total:
        sent = counted(sum(traffic.messages.values()), "message")
        share = share_of(traffic.delivered)
        delivered = "" if share is None else f", {texts.percent(share)} delivered"
        state = "All is well" if progress.rules else "No rule is enabled: nothing alerts"
        return f"{state}. {sent} in {span.words}{delivered}."
    if opened.total == 1:
        return f"One alert is open{', and nobody has acknowledged it yet' if opened.waiting else ''}."
    worst = f", {opened.critical:,} of them critical" if opened.critical else ""
    return f"{opened.total:,} alerts are open{worst}{'' if opened.waiting else '; each is acknowledged or silenced'}."


def _unread_sentence(unread: Sequence[str], accounts: int) -> str:
    """Name the accounts that are not read, if others are."""
    if not unread or len(unread) >= accounts:
        return "Twilio is not read as it should be. What follows may be old."
    if len(unread) == 1:
        return f"{unread[0]} is not read as it should be. What follows may lack its newest logs."
    rest = counted(len(unread) - 1, "more account is", "more accounts are")
    return f"{unread[0]} and {rest} not read as they should be. What follows may lack their newest logs."


def _axis(viewer: Viewer, traffic: Traffic, span: Range, **filters: str) -> Axis:
    def label(at: datetime) -> str:
        local = to_zone(at, viewer.zone)
        return f"{local:%a} {local.day} {local:%b}" if span.bucket == "day" else f"{local:%a %H:%M}"

    return Axis(
        starts=traffic.starts,
        until=traffic.until,
        zone=viewer.zone,
        href=lambda since, until: link("/logs", **filters, since=since, until=until),
        label=label,
    )


def _outcomes(viewer: Viewer, traffic: Traffic, span: Range, log_type: LogType) -> Figure:
    counts = traffic.messages if log_type == LogType.MESSAGE else traffic.calls
    good, failed = ([counts.get((at, bad), 0) for at in traffic.starts] for bad in (False, True))
    name, fine = (
        ("Messages", "delivered or on their way") if log_type == LogType.MESSAGE else ("Calls", "answered or over")
    )
    return figure.draw(
        name,
        f"{sum(good):,} {fine}, {sum(failed):,} failed in {span.words}.",
        _axis(viewer, traffic, span, log_type=log_type),
        [Series(fine, good, "bars-good", "good"), Series("failed", failed, "bars-bad", "bad")],
        Style(),
    )


def _delivered(viewer: Viewer, traffic: Traffic, span: Range) -> Figure:
    today, before = (
        [round(100 * found[at][0] / found[at][1], 2) if at in found else None for at in traffic.starts]
        for found in (traffic.delivered, traffic.delivered_before)
    )
    lowest = min([value for value in (*today, *before) if value is not None], default=100)
    floor = max(0, 10 * int((lowest - 1) / 10))
    share = share_of(traffic.delivered)
    caption = "No message is final yet." if share is None else f"{texts.percent(share)} delivered in {span.words}."
    return figure.draw(
        "Share delivered",
        caption,
        _axis(viewer, traffic, span, log_type=LogType.MESSAGE),
        [Series("delivered", today, "curve", "curve"), *_week_ago(before)],
        Style(unit="%", floor=floor, top=100),
    )


def _week_ago(shares: Sequence[float | None]) -> list[Series]:
    return [Series("a week ago", shares, "curve before", "before")] if any(each is not None for each in shares) else []


@dataclass(frozen=True)
class CodeRow:
    """One error code with its meaning and its count in logs of one type."""

    meaning: ErrorCode
    log_type: LogType
    tone: str
    fault: str
    logs: int
    spark: paths.Spark


def _code_row(code: Code, logs: int, by_time: Sequence[int]) -> CodeRow:
    meaning = describe(code.error_code)
    tone, fault = FAULT_TONES.get(meaning.fault, ""), texts.fault(meaning.fault)
    return CodeRow(meaning, code.log_type, tone, fault, logs, paths.spark(paths.condense(by_time)))
