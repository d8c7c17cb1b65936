"""Spans of time, and the check of a request's: both ends are named by the fields `since` and `until`."""

from datetime import datetime, timedelta

from app.errors import FieldError, InvalidInput

Span = tuple[datetime, datetime]
"""From the first time to the second."""


def span_errors(since: datetime, until: datetime, longest: timedelta) -> list[FieldError]:
    """Return what is wrong with a span: it is empty or too long."""
    if until <= since:
        return [FieldError("until", "must be later than since")]
    if until - since > longest:
        return [FieldError("since", f"must not be more than {longest.days} days before until")]
    return []


def check_span(since: datetime, until: datetime, longest: timedelta) -> None:
    """Refuse an empty span, or one that is too long.

    Raises: InvalidInput.
    """
    if errors := span_errors(since, until, longest):
        raise InvalidInput(errors)
