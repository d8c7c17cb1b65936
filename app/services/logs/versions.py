"""Decides which of two versions of a log is newer, and when to reread a log that is not final. Pure."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from app.enums import LogType
from app.services import log_fields
from app.services.logs.types import NormalizedLog, Stored
from app.services.twilio.error_codes import describe
from app.services.twilio.statuses import is_final, status_rank

YOUNG = timedelta(hours=6)
"""Until this age, a change is noticed before the log's age has grown by a quarter; later, by half."""
SCHEDULED_LIFE = timedelta(days=36)
"""Twilio schedules messages up to 35 days ahead."""
MIN_REREAD_WAIT = timedelta(seconds=1)
TIMELY = timedelta(minutes=10)
"""A log is seen in time if it is read this soon after its creation, and at least this often until it is final."""
MAX_CLOCK_SKEW = timedelta(days=1)
"""A callback's time is invalid if it is later than this after its arrival."""

# Fields that rules see and that can differ between versions. A difference in one of them is a change.
VISIBLE_FIELDS = (*log_fields.ATTRIBUTES, "final", "changed_at")


def newest(first: NormalizedLog, second: NormalizedLog) -> NormalizedLog:
    """Return the newer of two records of a log in Twilio's order; the second if they are equal."""
    return first if _order(first) > _order(second) else second


def _order(log: NormalizedLog) -> tuple[datetime, int]:
    return log.updated_at, status_rank(log.log_type, log.status)


def merge(stored: NormalizedLog, incoming: NormalizedLog) -> NormalizedLog:
    """Merge a record from Twilio with the stored version of its log.

    An older record can only set an earlier time of the current status. `occurred_at` never changes; a call keeps the
    code from its error entries. A record without `date_updated` is as new as the stored version: statuses alone decide.
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
    """Date a record without `date_updated` relative to the stored version. A change counts as just read."""
    changed_at = incoming.changed_at
    if (incoming.status, incoming.error_code) == (stored.status, stored.error_code):
        changed_at = stored.changed_at
    elif changed_at <= stored.changed_at:
        changed_at = max(read_at, stored.changed_at)
    return msgspec.structs.replace(incoming, updated_at=stored.updated_at, changed_at=changed_at, undated_at=None)


def _predates_push(stored: NormalizedLog, incoming: NormalizedLog) -> bool:
    """Return whether the record predates a callback that reported a later status.

    A callback follows the change it reports, so a record from before it with an earlier status is older.
    """
    if stored.pushed_at is None or incoming.updated_at > stored.pushed_at:
        return False
    return status_rank(incoming.log_type, incoming.status) < status_rank(stored.log_type, stored.status)


def apply_status_push(
    stored: NormalizedLog, status: str, error_code: int | None, at: datetime | None, received_at: datetime
) -> NormalizedLog | None:
    """Apply a status callback to a stored log. None if it reports nothing newer or earlier.

    Args:    at: when the log reached this status, if the callback has it; otherwise the arrival time counts.
    """
    if at is not None:
        at = None if at > received_at + MAX_CLOCK_SKEW else max(at, stored.occurred_at)
    if status == stored.status:
        earlier = at is not None and at < stored.changed_at
        return msgspec.structs.replace(stored, changed_at=at) if earlier and at is not None else None
    if status_rank(stored.log_type, status) <= status_rank(stored.log_type, stored.status):
        return None
    updated = msgspec.structs.replace(
        stored,
        status=status,
        final=is_final(stored.log_type, status),
        changed_at=max(at or received_at, stored.occurred_at),
        pushed_at=received_at,
    )
    if stored.log_type == "message" and error_code is not None:
        message = stored.error_message if error_code == stored.error_code else describe(error_code).message
        updated = msgspec.structs.replace(updated, error_code=error_code, error_message=message)
    return updated


def first_final_at(log: NormalizedLog, read_at: datetime) -> datetime | None:
    """Return when a message became final if its first version shows that in time, else None.

    Twilio has no time for it, and moves `date_updated` again later, when it rates a message for example.
    """
    is_timely = log.final and log.log_type == LogType.MESSAGE and read_at - log.occurred_at <= TIMELY
    return log.changed_at if is_timely else None


def next_final_at(before: Stored, after: NormalizedLog, read_at: datetime, poll_interval: timedelta) -> datetime | None:
    """Return when a message became final, now that it has a newer version, or None if that was not seen in time.

    A message that was first read late never counts. Of the messages of its time, only the slow ones were not final by
    then, so they would distort the delays. `read` follows `delivered`, and does not move the time.
    """
    if before.log.final:
        is_same = before.log.status == after.status
        return min(before.final_at, after.changed_at) if is_same and before.final_at else before.final_at
    if not after.final or after.log_type != LogType.MESSAGE or before.first_seen_at - after.occurred_at > TIMELY:
        return None
    age = read_at - after.occurred_at
    was_pushed = after.pushed_at is not None and after.pushed_at != before.log.pushed_at
    is_timely = was_pushed or read_at - before.read_at <= max(TIMELY, age / 2, 2 * poll_interval)
    return after.changed_at if is_timely else None


def visible_changes(before: NormalizedLog, after: NormalizedLog) -> dict[str, Any]:
    """Return the visible fields that differ, with their new values."""
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
    """Return when to reread a log after reading it at `read_at`.

    Args:
        sent_at: None if it is not sent yet; its current status then shows when that can have been.
        settle: how long after it was sent a log that is not final is reread.
    Returns: None for a log that is final or given up; else a time after `read_at`. The last reread gives the log up.
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
