"""Formats numbers, amounts and durations for people. Pure."""

from collections.abc import Sequence
from datetime import timedelta

DAY_MINUTES = 1440


def number(value: float) -> str:
    """Format a number with thousands separators and at most two decimals: `1,234.5`."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def counted(count: float, singular: str, plural: str = "") -> str:
    """Format a count with its noun: `1 log`, `1,234 logs`. The plural has an `s` unless it is given."""
    return f"{count:,.0f} {singular if count == 1 else plural or singular + 's'}"


def money(value: float) -> str:
    """Format an amount: whole ones without decimals, small ones to a hundredth of a cent, like prices."""
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4f}".rstrip("0").rstrip(".")


def first_of(values: Sequence[object], most: int = 5) -> str:
    """List a limited number of values, and the number of further ones: `GB, DE, FR and 3 more`."""
    more = len(values) - most
    return ", ".join(map(str, values[:most])) + (f" and {number(more)} more" if more > 0 else "")


def window(minutes: int) -> str:
    """Describe the length of a window: `a minute`, `30 minutes`, `an hour`, `2 days`."""
    if minutes % DAY_MINUTES == 0:
        return "a day" if minutes == DAY_MINUTES else f"{minutes // DAY_MINUTES} days"
    if minutes % 60 == 0:
        return "an hour" if minutes == 60 else f"{minutes // 60} hours"
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def duration(lasted: timedelta) -> str:
    """Format a duration in its two largest units: `2 days 3 hours`, `4 minutes 10 seconds`."""
    seconds = max(int(lasted.total_seconds()), 0)
    parts = []
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
        elif parts:
            break
    return " ".join(parts[:2]) or "less than a second"
