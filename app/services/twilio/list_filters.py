"""The filters of Twilio's lists by time. Pure."""

from datetime import UTC, datetime, timedelta


def day_filters(name: str, since: datetime | None, until: datetime | None) -> dict[str, str]:
    """Build the filters of calls and messages. An upper bound ends at the first moment of its day."""
    filters = {}
    if since is not None:
        filters[f"{name}>"] = since.astimezone(UTC).date().isoformat()
    if until is not None:
        filters[f"{name}<"] = (until.astimezone(UTC) + timedelta(days=1, microseconds=-1)).date().isoformat()
    return filters


def alert_filters(since: datetime | None, until: datetime | None) -> dict[str, str]:
    """Build the filters of the error log. Both bounds are inclusive."""
    filters = {}
    if since is not None:
        filters["StartDate"] = _iso_second(since)
    if until is not None:
        filters["EndDate"] = _iso_second(until + timedelta(microseconds=999_999))
    return filters


def _iso_second(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
