"""Which of two versions of a log holds, and when a log that is not final is read again. Pure."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from app.services.logs.types import NormalizedLog
from app.services.twilio.error_codes import describe
from app.services.twilio.statuses import is_final, status_rank

YOUNG = timedelta(hours=6)
"""Up to this age a change is noticed before the log's age has grown by a quarter; from then on, by half."""
SCHEDULED_LIFE = timedelta(days=36)
"""Twilio takes messages up to 35 days ahead."""
MIN_REREAD_WAIT = timedelta(seconds=1)
MAX_CLOCK_SKEW = timedelta(days=1)
"""What a callback tells of a later time than this after its arrival is no time."""

# What rules see of a log and what may differ between its versions. A difference in one of them makes a change.
VISIBLE_FIELDS = (
    "status",
    "level",
    "direction",
    "from_",
    "to",
    "to_country",
    "error_code",
    "error_message",
    "text",
    "price",
    "price_unit",
    "duration_seconds",
    "segments",
    "messaging_service_sid",
    "resource_sid",
    "final",
    "changed_at",
)


def newest(first: NormalizedLog, second: NormalizedLog) -> NormalizedLog:
    """Return the newer of two records of one log in Twilio's order; the second where they are equal."""
    return first if _order(first) > _order(second) else second


def _order(log: NormalizedLog) -> tuple[datetime, int]:
    return log.updated_at, status_rank(log.log_type, log.status)


def merge(stored: NormalizedLog, incoming: NormalizedLog) -> NormalizedLog:
    """Put a record that Twilio shows now together with the stored version of the same log.

    An older record changes nothing but the time of the present status, if it knows an earlier one. `occurred_at`
    never changes; a call keeps the code that its error entries gave it. A record without `date_updated` is as new as
    the stored version: statuses alone decide.
    """
    code = (stored.error_code, stored.error_message)
    if incoming.log_type == "call":
        incoming = msgspec.structs.replace(incoming, error_code=code[0], error_message=code[1])
    if incoming.undated_at is not None:
        incoming = _dated(stored, incoming, incoming.undated_at)
    same_state = (incoming.status, incoming.error_code) == (stored.status, stored.error_code)
    earliest = min(stored.changed_at, incoming.changed_at)
    if _order(incoming) < _order(stored) or _predates_push(stored, incoming):
        return msgspec.structs.replace(stored, changed_at=earliest) if same_state else stored
    return msgspec.structs.replace(
        incoming,
        occurred_at=stored.occurred_at,
        changed_at=earliest if same_state else incoming.changed_at,
    )


def _dated(stored: NormalizedLog, incoming: NormalizedLog, read_at: datetime) -> NormalizedLog:
    """Place a record without `date_updated` beside the stored version; a change that it shows counts as just read."""
    changed_at = incoming.changed_at
    if (incoming.status, incoming.error_code) == (stored.status, stored.error_code):
        changed_at = stored.changed_at
    elif changed_at <= stored.changed_at:
        changed_at = max(read_at, stored.changed_at)
    return msgspec.structs.replace(incoming, updated_at=stored.updated_at, changed_at=changed_at, undated_at=None)


def _predates_push(stored: NormalizedLog, incoming: NormalizedLog) -> bool:
    """Say whether a record was taken before a callback told of a later status than it shows.

    A callback comes after what it tells of, so what Twilio wrote before the callback came, and is less far, is older.
    """
    if stored.pushed_at is None or incoming.updated_at > stored.pushed_at:
        return False
    return status_rank(incoming.log_type, incoming.status) < status_rank(stored.log_type, stored.status)


def apply_status_push(
    stored: NormalizedLog, status: str, error_code: int | None, at: datetime | None, received_at: datetime
) -> NormalizedLog | None:
    """Say what a callback about a stored log makes of it; None where it tells nothing that is newer or earlier.

    Args:    at: when it came into this status, where the callback says so; else its arrival counts.
    """
    if at is not None:
        at = None if at > received_at + MAX_CLOCK_SKEW else max(at, stored.occurred_at)
    if status == stored.status:
        earlier = at is not None and at < stored.changed_at
        return msgspec.structs.replace(stored, changed_at=at) if earlier and at is not None else None
    if status_rank(stored.log_type, status) <= status_rank(stored.log_type, stored.status):
        return None
    claimed_at = msgspec.structs.replace(
        stored,
        status=status,
        final=is_final(stored.log_type, status),
        changed_at=max(at or received_at, stored.occurred_at),
        pushed_at=received_at,
    )
    if stored.log_type == "message" and error_code is not None:
        message = stored.error_message if error_code == stored.error_code else describe(error_code).message
        claimed_at = msgspec.structs.replace(claimed_at, error_code=error_code, error_message=message)
    return claimed_at


def visible_changes(before: NormalizedLog, after: NormalizedLog) -> dict[str, Any]:
    """Return the fields that rules see and that differ, with their new values."""
    return {name: new for name in VISIBLE_FIELDS if (new := getattr(after, name)) != getattr(before, name)}


def reread_at(
    status: str | None,
    final: bool,
    occurred_at: datetime,
    sent_at: datetime | None,
    changed_at: datetime,
    read_at: datetime,
    settle: timedelta,
) -> datetime | None:
    """Say by when a log is to be read again after it was read at `read_at`.

    Args:
        sent_at: None where it is not sent yet; its present status then tells when that may have been.
        settle: how long after its sending a log that is not final is read again.
    Returns: None for a log that is final or given up; else a time after `read_at`, the last one being the giving up.
    """
    if final:
        return None
    if status == "scheduled":
        given_up_at = occurred_at + SCHEDULED_LIFE
    else:
        given_up_at = (sent_at or max(occurred_at, changed_at)) + settle
    if read_at >= given_up_at:
        return None
    age = max(read_at - occurred_at, timedelta(0))
    growth = age / 4 if age < YOUNG else age / 2
    return min(read_at + max(growth, MIN_REREAD_WAIT), given_up_at)
