"""Time zones whose names mean the same on every machine."""

from functools import cache
from zoneinfo import available_timezones


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all zones, except those that mean the machine's own."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def is_zone(name: str) -> bool:
    """Check whether a zone of this name exists."""
    return name in zone_names()
