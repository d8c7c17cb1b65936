"""Twilio's two time formats: RFC 2822 in the 2010 API, ISO 8601 elsewhere. Pure and fast: times repeat."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_MONTH_NAMES = {number: name for name, number in MONTHS.items()}
_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@lru_cache(maxsize=65_536)
def parse_time(text: str) -> datetime | None:
    """Parse a time in either format, as UTC; without a zone it is UTC. None if it is no time."""
    try:
        if len(text) == 31 and text[26:] == "+0000":
            return datetime(
                int(text[12:16]),
                MONTHS[text[8:11]],
                int(text[5:7]),
                int(text[17:19]),
                int(text[20:22]),
                int(text[23:25]),
                tzinfo=UTC,
            )
        at = datetime.fromisoformat(text) if text[4:5] == "-" else parsedate_to_datetime(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, LookupError):
        return None


def rfc2822(at: datetime) -> str:
    """Format a time as the 2010 API does: `Tue, 03 Mar 2026 09:14:02 +0000`."""
    day, month = _DAY_NAMES[at.weekday()], _MONTH_NAMES[at.month]
    return f"{day}, {at.day:02d} {month} {at.year:04d} {at:%H:%M:%S} +0000"
