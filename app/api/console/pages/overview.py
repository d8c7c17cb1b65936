"""The overview: open alerts, traffic, and the state of GiftPulse itself."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import Request, Response

from app.api.console import first_steps, texts
from app.api.console.access import AnyScope, SignedIn, Viewer, Writer
from app.api.console.plots import figure
from app.api.console.plots.figure import Axis, Figure, Series, Style
from app.api.console.rendering import Flash, link, redirect, render
from app.api.console.routing import make_router
from app.api.deps import settings_of
from app.database import session_scope
from app.enums import AlertStatus, LogType
from app.models import Alert
from app.services import console_state
from app.services.alerts import search
from app.services.health import Health
from app.services.logs import stats
from app.services.logs.search import LogFilter
from app.services.twilio import simulator
from app.services.twilio.error_codes import ErrorCode, describe
from app.services.unwatched import SHOWN_SPAN
from app.utils.calendar_edges import to_zone
from app.utils.clock import utc_now

router = make_router()
OPEN = (AlertStatus.FIRING, AlertStatus.ACKNOWLEDGED)
SETUP_CARD = "set-up"
MAX_ALERTS = 8
MAX_ROWS = 6
WEEK = timedelta(days=7)
FAILED = ("failed", "undelivered")
FAULT_TONES = {"customer": "bad", "carrier": "warn", "twilio": "info"}


@dataclass(frozen=True)
class Range:
    """A time range of the overview, and the buckets of its plots."""

    length: timedelta
    bucket: str
    words: str


RANGES = {
    "1h": Range(timedelta(hours=1), "minute", "the last hour"),
    "24h": Range(timedelta(hours=24), "hour", "24 hours"),
    "7d": Range(timedelta(days=7), "hour", "7 days"),
    "30d": Range(timedelta(days=30), "day", "30 days"),
}
DEFAULT_RANGE = "24h"


@dataclass(frozen=True)
class Traffic:
    """The counts of one time range. Cached for seconds: many people look at once when something is wrong."""

    since: datetime
    until: datetime
    starts: Sequence[datetime]
    messages: dict[tuple[datetime, bool], int]
    """By bucket and whether they failed."""
    calls: dict[tuple[datetime, bool], int]
    messages_before: int
    calls_before: int
    delivered: dict[datetime, float]
    delivered_before: dict[datetime, float]
    codes: Sequence[tuple[int, int]]
    countries: Sequence[tuple[str, int, int]]
    """Country, messages, failed ones."""


class TrafficCache:
    """Reads the traffic of a range at most once in ten seconds per process."""

    KEEP_SECONDS = 10.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Traffic]] = {}

    def get(self, name: str) -> Traffic:
        """Return the traffic of a range."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or time.monotonic() - kept[0] > self.KEEP_SECONDS:
                kept = self._kept[name] = time.monotonic(), _read_traffic(RANGES[name], utc_now())
            return kept[1]


_traffic = TrafficCache()


@router.get("/")
def show_overview(request: Request, viewer: SignedIn) -> Response:
    """Show the open alerts, the traffic, and what fails most."""
    span = request.query_params.get("span", DEFAULT_RANGE)
    span = span if span in RANGES else DEFAULT_RANGE
    with session_scope() as session:
        wanted = search.AlertFilter(status=OPEN)
        alerts = list(search.list_alerts(session, wanted, None, 100).items)
        hidden = console_state.is_hidden(session, viewer.session.key_id, SETUP_CARD)
        steps = [] if hidden else first_steps.read(session, settings_of(request))
        session.expunge_all()
    alerts.sort(key=_urgency)
    traffic = _traffic.get(span)
    health: Health = request.app.state.health.check()
    sent = sum(traffic.messages.values())
    context = {
        "section": "overview",
        "sentence": _sentence(alerts, health, traffic, RANGES[span]),
        "health": health,
        "steps": steps,
        "alerts": alerts[:MAX_ALERTS],
        "more_alerts": max(0, len(alerts) - MAX_ALERTS),
        "span": span,
        "spans": list(RANGES),
        "words": RANGES[span].words,
        "traffic": traffic,
        "messages_total": sent,
        "messages_change": texts.change(sent, traffic.messages_before),
        "calls_total": sum(traffic.calls.values()),
        "calls_change": texts.change(sum(traffic.calls.values()), traffic.calls_before),
        "share": _mean(traffic.delivered),
        "share_before": _mean(traffic.delivered_before),
        "messages": _outcomes(viewer, traffic, RANGES[span], LogType.MESSAGE),
        "calls": _outcomes(viewer, traffic, RANGES[span], LogType.CALL),
        "delivered": _delivered(viewer, traffic, RANGES[span]),
        "codes": [_code_row(code, logs) for code, logs in traffic.codes],
        "countries": traffic.countries,
        "unwatched": [(item, describe(item.error_code)) for item in request.app.state.unwatched.get()],
        "unwatched_since": f"{SHOWN_SPAN.days}d",
    }
    return render(request, viewer, "overview.html", context)


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
    simulator.begin(settings_of(request), "carrier_filtering")
    text = "A carrier filters one sender now. Within a minute an alert opens here, and its mail goes out."
    return redirect(request, "/", Flash(text))


def _urgency(alert: Alert) -> tuple[bool, bool, int, float]:
    """Sort by urgency: firing, not silenced, by severity, oldest first."""
    severity = ("critical", "warning", "info").index(alert.severity)
    return alert.status != AlertStatus.FIRING, alert.silenced, severity, alert.started_at.timestamp()


def _sentence(alerts: Sequence[Alert], health: Health, traffic: Traffic, span: Range) -> str:
    """Summarize the state in one sentence. What GiftPulse cannot see comes first."""
    if health.checks["polling"].status != "ok":
        return "Twilio is not read as it should be. What follows may be old."
    if not alerts:
        sent = texts.count(sum(traffic.messages.values()), "message", "messages")
        share = _mean(traffic.delivered)
        delivered = "" if share is None else f", {texts.percent(share)} delivered"
        return f"All is well. {sent} in {span.words}{delivered}."
    waiting = [alert for alert in alerts if alert.status == AlertStatus.FIRING and not alert.silenced]
    critical = sum(alert.severity == "critical" for alert in alerts)
    if len(alerts) == 1:
        return f"One alert is open{', and nobody has taken it yet' if waiting else ''}."
    worst = f", {critical} of them critical" if critical else ""
    return f"{len(alerts)} alerts are open{worst}{'' if waiting else '; somebody is at each of them'}."


def _read_traffic(span: Range, now: datetime) -> Traffic:
    size = stats.BUCKETS[span.bucket]
    until = stats.ORIGIN + (int((now - stats.ORIGIN) / size) + 1) * size
    since = until - span.length
    starts = [since + number * size for number in range(int(span.length / size))]
    with session_scope() as session:
        snapshot = stats.Snapshot(session)
        return Traffic(
            since=since,
            until=until,
            starts=starts,
            messages=_by_outcome(snapshot, LogType.MESSAGE, since, until, span.bucket),
            calls=_by_outcome(snapshot, LogType.CALL, since, until, span.bucket),
            messages_before=sum(_by_outcome(snapshot, LogType.MESSAGE, since - WEEK, now - WEEK, "day").values()),
            calls_before=sum(_by_outcome(snapshot, LogType.CALL, since - WEEK, now - WEEK, "day").values()),
            delivered=_shares(snapshot, since, until, span.bucket, timedelta(0)),
            delivered_before=_shares(snapshot, since - WEEK, until - WEEK, span.bucket, WEEK),
            codes=_codes(snapshot, since, until),
            countries=_countries(snapshot, since, until),
        )


def _by_outcome(
    snapshot: stats.Snapshot, log_type: LogType, since: datetime, until: datetime, bucket: str
) -> dict[tuple[datetime, bool], int]:
    found: Counter[tuple[datetime, bool]] = Counter()
    for each in snapshot.count(LogFilter(log_type=(log_type,), since=since, until=until), bucket, "status"):
        found[each.at, each.value in FAILED] += each.count
    return found


def _shares(
    snapshot: stats.Snapshot, since: datetime, until: datetime, bucket: str, shift: timedelta
) -> dict[datetime, float]:
    rows = snapshot.delivery(LogFilter(since=since, until=until), bucket)
    return {row.at + shift: row.delivered / row.final for row in rows if row.final}


def _codes(snapshot: stats.Snapshot, since: datetime, until: datetime) -> list[tuple[int, int]]:
    found: Counter[int] = Counter()
    for each in snapshot.count(LogFilter(since=since, until=until), "day", "error_code"):
        if isinstance(each.value, int):
            found[each.value] += each.count
    return found.most_common(MAX_ROWS)


def _countries(snapshot: stats.Snapshot, since: datetime, until: datetime) -> list[tuple[str, int, int]]:
    totals: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    messages = LogFilter(log_type=(LogType.MESSAGE,), since=since, until=until)
    for each in snapshot.count(messages, "day", "to_country"):
        totals[str(each.value)] += each.count
    for each in snapshot.count(
        LogFilter(log_type=(LogType.MESSAGE,), status=FAILED, since=since, until=until), "day", "to_country"
    ):
        failed[str(each.value)] += each.count
    known = [(country, total, failed[country]) for country, total in totals.items() if len(country) == 2]
    return sorted(known, key=lambda row: (-row[2], -row[1]))[:MAX_ROWS]


def _mean(shares: dict[datetime, float]) -> float | None:
    return sum(shares.values()) / len(shares) if shares else None


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
        [None if (share := shares.get(at)) is None else round(100 * share, 2) for at in traffic.starts]
        for shares in (traffic.delivered, traffic.delivered_before)
    )
    lowest = min([value for value in (*today, *before) if value is not None], default=100)
    floor = max(0, 10 * int((lowest - 1) / 10))
    share = _mean(traffic.delivered)
    caption = "No message is final yet." if share is None else f"{texts.percent(share)} delivered in {span.words}."
    return figure.draw(
        "Share delivered",
        caption,
        _axis(viewer, traffic, span, log_type=LogType.MESSAGE),
        [Series("delivered", today, "curve", "curve"), Series("a week ago", before, "curve before", "before")],
        Style(unit="%", floor=floor, top=100),
    )


@dataclass(frozen=True)
class CodeRow:
    """One error code with what it means and how often it came."""

    meaning: ErrorCode
    tone: str
    fault: str
    logs: int


def _code_row(code: int, logs: int) -> CodeRow:
    meaning = describe(code)
    tone, fault = FAULT_TONES.get(meaning.fault, ""), texts.fault(meaning.fault)
    return CodeRow(meaning, tone, fault, logs)
