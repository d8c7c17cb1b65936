"""The only place that asks the machine for the time; everything else takes it as an argument."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def cut_to_second(at: datetime) -> datetime:
    """Drop the fraction of a second: Twilio's times have none."""
    return at.replace(microsecond=0)


def rfc3339(at: datetime) -> str:
    """Write an aware UTC time as the API does: `2026-11-23T06:09:00Z`, with microseconds only where there are any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
