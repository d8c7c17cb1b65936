"""Logs as values, before and after they are stored. Pure."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from app.enums import LogType


class NormalizedLog(msgspec.Struct, kw_only=True):
    """One record of Twilio, normalized. Times are aware and in UTC."""

    sid: str
    log_type: LogType
    status: str | None = None
    """Twilio's status; None for an error."""
    level: str | None = None
    """For an error: error, warning, notice or debug."""
    direction: str | None = None
    from_: str | None = None
    to: str | None = None
    to_country: str | None = None
    """ISO 3166 alpha-2 of `to`."""
    error_code: int | None = None
    error_message: str | None = None
    """Twilio's message, or the catalogue's if Twilio sent only a code."""
    text: str | None = None
    """The body of a message or the text of an error."""
    price: Decimal | None = None
    price_unit: str | None = None
    duration_seconds: int | None = None
    segments: int | None = None
    messaging_service_sid: str | None = None
    resource_sid: str | None = None
    """For an error: the call, message or other resource that it names."""
    occurred_at: datetime
    """When Twilio created it."""
    changed_at: datetime
    """When it reached this status and code, as far as this record shows."""
    updated_at: datetime
    """Twilio's `date_updated`, which orders versions; an estimate if that is missing, see `undated_at`."""
    sent_at: datetime | None = None
    """A message's `date_sent`, a call's `start_time`."""
    final: bool
    rest: bytes | None = None
    """JSON object with those of Twilio's fields that cannot be rebuilt from the others."""
    content_hash: int
    """Signed 64-bit hash of the record's bytes. Equal hashes mean that nothing changed."""
    pushed_at: datetime | None = None
    """When a callback reported this status; None if a list did."""
    undated_at: datetime | None = None
    """When a record without a readable `date_updated` was read. None for others and for stored logs."""


class Stored(NamedTuple):
    """A stored log in the form of a record, and what was seen of it."""

    id: int
    log: NormalizedLog
    first_seen_at: datetime
    read_at: datetime
    """When it was last read while it was not final."""
    final_at: datetime | None
    """When a message became final; None if it is not, or was not seen in time."""
