"""A log as values: what a record of Twilio means, before and after it is stored. Pure."""

from datetime import datetime
from decimal import Decimal

import msgspec

from app.enums import LogType


class NormalizedLog(msgspec.Struct):
    """One record of Twilio in our words. Times are aware, UTC."""

    sid: str
    log_type: LogType
    status: str | None
    """Twilio's status; None for an error."""
    level: str | None
    """Of an error: error, warning, notice, debug."""
    direction: str | None
    from_: str | None
    to: str | None
    to_country: str | None
    """ISO 3166 alpha-2 of `to`."""
    error_code: int | None
    error_message: str | None
    """Twilio's own words, or the catalogue's where Twilio gave a code alone."""
    text: str | None
    """The body of a message, or the text of an error."""
    price: Decimal | None
    price_unit: str | None
    duration_seconds: int | None
    segments: int | None
    messaging_service_sid: str | None
    resource_sid: str | None
    """Of an error: the call, message or other resource it names."""
    occurred_at: datetime
    """When Twilio created it."""
    changed_at: datetime
    """When it came into this status and code, as far as this record tells."""
    updated_at: datetime
    """Twilio's `date_updated`, which orders the versions of one log; without it a guess, as `undated_at` says."""
    sent_at: datetime | None
    """A message's `date_sent`, a call's `start_time`."""
    final: bool
    rest: bytes | None
    """JSON object of those of Twilio's fields that cannot be put together again from the others."""
    content_hash: int
    """Signed 64-bit hash of the record's bytes: equal means nothing changed."""
    pushed_at: datetime | None = None
    """When a callback told this status; None where a list told it."""
    undated_at: datetime | None = None
    """When a record was read that has no `date_updated` that can be read; None for any other, and once it is stored."""
