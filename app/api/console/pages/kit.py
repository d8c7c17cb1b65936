"""The style sheet: every part in every state, on one page. It exists where the simulator is watched: in development."""

from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

from fastapi import Request, Response

from app.api.console import week
from app.api.console.access import SignedIn, Viewer
from app.api.console.plots import figure, strip
from app.api.console.plots.figure import Axis, Figure, Series, Style
from app.api.console.rendering import render
from app.api.console.routing import make_router
from app.api.console.week import Bar, Week
from app.api.deps import settings_of
from app.errors import NotFound
from app.services.twilio import simulator
from app.utils.calendar_edges import to_zone
from app.utils.clock import utc_now

router = make_router()
BUCKET = timedelta(minutes=3)
COUNTS = [0, 1, 0, 2, 1, 0, 1, 2, 1, 0, 1, 1, 0, 2, 1, 1, 0, 1, 2, 1, 3, 8, 14, 31, 58, 77, 96, 118, 131, 143]
SHARES = [97.8, 98.1, 97.5, 97.9, 98.2, 97.7, None, None, 97.9, 98, 97.6, 97.8, 97.1, 94.2, 90.3, 89.1]
LOG: dict[str, object] = {
    "sid": "SM" + "0" * 31 + "1", "log_type": "message", "status": "undelivered", "level": None,
    "from_": "+14155550123", "to_": "+12125550147", "to_country": "US", "resource_sid": None, "error_code": 30007,
    "text_": "Your parcel waits: <script>alert(1)</script>", "error_message": None,
}  # fmt: skip
LOGS: tuple[dict[str, object], ...] = (
    {},
    {"status": "delivered", "error_code": None, "text_": "\u202eYour parcel waits\u202c"},
    {"log_type": "call", "status": "completed", "error_code": None, "text_": None, "to_country": "GB"},
    {"log_type": "error", "status": None, "level": "error", "error_code": 11200, "from_": None, "to_": None,
     "to_country": None, "resource_sid": "CA" + "0" * 32, "text_": "HTTP retrieval failure"},
)  # fmt: skip
ALERT: dict[str, object] = {
    "id": UUID(int=0), "rule_id": UUID(int=0), "severity": "critical", "status": "firing", "acknowledged_by": None,
    "silenced": False, "suppressed_by": None, "resolved_at": None, "late": False,
}  # fmt: skip
ALERTS: tuple[dict[str, object], ...] = (
    {"summary": "143 messages with error 30007 (Message filtered)", "rule_name": "A sender is filtered"},
    {"severity": "warning", "status": "acknowledged", "acknowledged_by": "Jonas", "summary": "6.4% of calls failed",
     "rule_name": "Calls fail by country"},
    {"severity": "info", "silenced": True, "late": True, "summary": "new error code: 11236", "rule_name": "x" * 60},
    {"severity": "warning", "status": "resolved", "summary": "x" * 120, "rule_name": "مرحبا بالعالم"},
)  # fmt: skip


@router.get("/kit")
def show_kit(request: Request, viewer: SignedIn) -> Response:
    """Show every part with made-up values."""
    if not simulator.is_watched(settings_of(request)):
        raise NotFound("the style sheet is shown where the simulator is watched")
    now = utc_now()
    shown_week = week.make_week(viewer, now)
    started = {"started_at": now - timedelta(minutes=23)}
    context = {
        "section": "settings",
        "logs": [SimpleNamespace(**{"occurred_at": now, **LOG, **each}) for each in LOGS],
        "alerts": [SimpleNamespace(**{**ALERT, **started, **each}) for each in ALERTS],
        "limited": _limited(viewer),
        "holed": _holed(viewer),
        "week": shown_week,
        "bars": [_bar(shown_week, hours) for hours in (20, 70, 71, 150)],
    }
    return render(request, viewer, "kit.html", context)


def _axis(viewer: Viewer, count: int) -> Axis:
    until = utc_now()
    starts = [until - (count - number) * BUCKET for number in range(count)]
    return Axis(starts, until, viewer.zone, lambda _since, _until: "#", lambda at: f"{to_zone(at, viewer.zone):%H:%M}")


def _limited(viewer: Viewer) -> Figure:
    axis = _axis(viewer, len(COUNTS))
    fired = axis.starts[22]
    spans = [axis.span("firing", fired, axis.until)]
    marks = [axis.mark("bad", fired, "fired"), axis.mark("notified", fired + BUCKET, "notified")]
    over: list[float | None] = [value if value >= 10 else 0 for value in COUNTS]
    under: list[float | None] = [value if value < 10 else 0 for value in COUNTS]
    series = [Series("messages", under, "bars-good", "good"), Series("at the limit", over, "bars-bad", "bad")]
    style = Style(limit=10, extra_legend=[("limit", "limit 10"), ("firing", "firing"), ("notified", "notified")])
    return figure.draw("Messages", "143 now.", axis, series, style, spans, marks)


def _holed(viewer: Viewer) -> Figure:
    axis = _axis(viewer, len(SHARES))
    spans = [axis.span("unread", axis.starts[6], axis.starts[8]), axis.span("silent", axis.starts[9], axis.starts[11])]
    before: list[float | None] = [97.8] * len(SHARES)
    series = [Series("today", SHARES, "curve", "curve"), Series("a week ago", before, "curve before", "before")]
    return figure.draw("Share delivered", "89.1 % now.", axis, series, Style(unit="%", floor=80, top=100), spans)


def _bar(shown: Week, hours: int) -> Bar:
    at = shown.since + timedelta(hours=hours)
    return Bar(strip.part(shown.since, shown.until, at, at + timedelta(hours=2), strip.MIN_WIDTH), "an alert", "#")
