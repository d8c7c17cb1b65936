"""Logs as rules see them. Pure."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple


class LogVersion(NamedTuple):
    """One log in one of its states, as rules see it. The middle fields are `log_fields.FIELDS`, typed for mypy."""

    change_id: int
    log_id: int
    is_first: bool
    """True for the first stored version of the log: no rule can have matched it before."""
    account_id: int
    account_sid: str
    sid: str
    log_type: str
    status: str | None
    level: str | None
    direction: str | None
    from_: str | None
    to: str | None
    to_country: str | None
    error_code: int | None
    error_message: str | None
    text: str | None
    price: Decimal | None
    price_unit: str | None
    duration_seconds: int | None
    segments: int | None
    messaging_service_sid: str | None
    resource_sid: str | None
    occurred_at: datetime
    changed_at: datetime
    final: bool
