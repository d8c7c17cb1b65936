"""Parses the header `Retry-After`, including nonstandard forms. Pure."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_SECONDS = 3600
MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
VALUES = re.compile(rf"[;(]|,(?!\s*\d{{1,2}}[ -](?:{MONTHS}))", re.IGNORECASE)
"""The borders between values or comments. The commas within dates are none."""
COMMAS = (
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"(?<=\d),(?=\d)"), "."),
)
"""A comma between digits may also group thousands or begin a fraction."""
QUOTES = " \t\"'<>[]{}()~"
NUMBER = r"(\d{1,12})\d*(\.\d*)?"
LEAD = re.compile(r"(?:([a-z][a-z-]*)[\s:=]+)*", re.IGNORECASE)
"""Words before a number or a date, such as `in`, `until` or `seconds=`."""
SPAN = re.compile(rf"[\s,]*(?:and\s+)?\+?{NUMBER}(?![\d.])\s*([a-z]*)\.?\s*", re.IGNORECASE)
UNITS = {
    **dict.fromkeys(("week", "w"), 604_800.0),
    **dict.fromkeys(("day", "d"), 86_400.0),
    **dict.fromkeys(("hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("minute", "min", "m"), 60.0),
    **dict.fromkeys(("second", "sec", "s"), 1.0),
    **dict.fromkeys(("millisecond", "msec", "ms"), 0.001),
}
ISO_SPAN = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d+)?)S)?)?", re.IGNORECASE
)
ISO_UNITS = (31_536_000, 2_592_000, 604_800, 86_400, 3600, 60, 1)
CLOCK = re.compile(r"(\d{1,4}):(\d\d)(?::(\d\d(?:\.\d+)?))?")
"""Hours and minutes, and seconds if given."""


def parse_retry_after(value: str | None, now: datetime, sent_at: str | None = None) -> int | None:
    """Return the requested delay in seconds, at most an hour; None if it cannot be parsed.

    Args:
        value: a number, a duration, a date, or several of them; the longest delay counts.
        sent_at: the header `Date` of the same response: the server's clock.
    """
    if value is None:
        return None
    clocks = [now, *([at] if (at := _date(sent_at or "")) else [])]
    text = re.sub(r"[^\x00-\x7f]", " ", value)
    texts = [text, *(comma.sub(meant, text) for comma, meant in COMMAS)]
    # Each text as a whole, too: commas may also separate the parts of one duration.
    parts = {part.strip(QUOTES) for each in texts for part in (each, *VALUES.split(each))}
    waits = [wait for part in parts for wait in _readings(part, clocks)]
    return math.ceil(min(max(waits), MAX_SECONDS)) if waits else None


def _readings(text: str, clocks: list[datetime]) -> Iterator[float]:
    """Yield what a text can mean, in seconds."""
    if (span := _span(text)) is not None:
        yield span
    if (found := ISO_SPAN.fullmatch(text)) and any(found.groups()):
        parts = zip(found.groups("0"), ISO_UNITS, strict=True)
        yield sum(float(part.replace(",", ".")) * unit for part, unit in parts)
    if found := CLOCK.fullmatch(text):
        yield sum(float(part) * unit for part, unit in zip(found.groups("0"), (3600, 60, 1), strict=True))
    at = _date(text) or _date(LEAD.sub("", text, count=1))
    if at and (wait := max((at - clock).total_seconds() for clock in clocks)) > 0:
        yield wait


def _span(text: str) -> float | None:
    """Add up numbers with units, the largest unit first. A bare number is seconds, or what the word before it names."""
    text = text.lower().removesuffix(" from now")
    lead = LEAD.match(text)
    at, total, last = (lead.end() if lead else 0), 0.0, math.inf
    bare = _unit(lead[1] if lead and lead[1] else "") or 1.0
    if at == len(text):
        return None
    while at < len(text):
        found = SPAN.match(text, at)
        unit = (_unit(found[3]) if found[3] else bare) if found else None
        if found is None or unit is None or unit >= last:
            return None
        total += float(found[1] + (found[2] or "")) * unit
        at, last = found.end(), unit
    return total


def _unit(name: str) -> float | None:
    return UNITS.get(name.lower()) or UNITS.get(name.lower().removesuffix("s"))


def _date(text: str) -> datetime | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            at = read(text.replace("/", "-"))
        except (ValueError, IndexError, TypeError, OverflowError):
            continue
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return None
