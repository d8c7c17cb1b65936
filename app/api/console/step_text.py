"""Shows the steps of an explanation as a page does: times in the viewer's zone, alerts as links."""

import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

from app.api.console.template_functions import when

TIME = r"(?P<time>\d{1,2} [A-Z][a-z]{2} \d{4}, \d\d:\d\d:\d\d UTC)"
"""As `explain.steps.moment` writes it."""
ALERT = r"alert (?P<alert>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"
_PARTS = re.compile(f"{TIME}|{ALERT}")


def step_text(detail: str) -> Markup:
    """Write the detail of a step: times and alerts are formatted, the rest is escaped."""
    written, end = Markup(), 0
    for found in _PARTS.finditer(detail):
        written += escape(detail[end : found.start()]) + _part(found)
        end = found.end()
    return written + escape(detail[end:])


def _part(found: re.Match[str]) -> Markup:
    if found["alert"]:
        return Markup('<a href="/alerts/{}">alert</a>').format(found["alert"])
    try:
        at = datetime.strptime(found["time"], "%d %b %Y, %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:  # a name that somebody gave may look like a time
        return escape(found["time"])
    return when(at, seconds=True)
