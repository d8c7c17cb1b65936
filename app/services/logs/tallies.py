"""Tallies the logs of each hour, behind their storing, so that plots of months need not read millions of logs.

The changes are followed here, as the search follows them: storing a log costs nothing more. An hour that a change
touched is untallied until it has been counted anew, and until then whoever asks reads its logs themselves; so every
answer is exact at every moment.
"""

import time
from datetime import datetime, timedelta

from sqlalchemy import func, select, text, union
from sqlalchemy.orm import Session

from app.database import session_scope
from app.models import LogChange, StreamTally, UntalliedHour
from app.services.logs import change_consumers

HOUR = timedelta(hours=1)
TALLY_LOCK = 4_715_620_733
"""Any number that nothing else in the database uses as an advisory lock."""
CHANGES_AT_ONCE = 200_000
HOURS_AT_ONCE = 12
"""Hours tallied in one transaction."""

DIMENSIONS = (
    "account_id",
    "log_type",
    "status",
    "level",
    "direction",
    "to_country",
    "error_code",
    "messaging_service_sid",
    "final",
)
SENDER_DIMENSIONS = tuple(
    f"CAST(NULL AS text) AS {name}" if name in ("to_country", "messaging_service_sid") else name for name in DIMENSIONS
)
DELAYED = "log_type = 'message' AND final AND direction LIKE 'outbound%'"
"""The messages whose delay counts."""
DELAY = "CAST(floor(extract(epoch FROM changed_at - occurred_at)) AS int)"
"""Twilio tells times to the second."""

_CELLS = f"""
    WITH cells AS MATERIALIZED (
        SELECT {", ".join(DIMENSIONS)}, coalesce(from_, '') AS sender, CASE WHEN {DELAYED} THEN {DELAY} END AS seconds,
               count(*) AS logs
        FROM logs WHERE occurred_at >= :hour AND occurred_at < :next
        GROUP BY {", ".join(DIMENSIONS)}, sender, seconds
    ),
    kinds AS MATERIALIZED (
        SELECT *, CAST(ROW({", ".join(DIMENSIONS)}) AS text) AS key FROM cells
    ),
    senders AS MATERIALIZED (
        SELECT *, CAST(ROW({", ".join(DIMENSIONS)}) AS text) AS key
        FROM (SELECT {", ".join(SENDER_DIMENSIONS)}, sender, logs FROM cells) AS narrowed
    )
"""
_ADD_DIMENSIONS = f"""
    {_CELLS}
    INSERT INTO log_kinds (key, {", ".join(DIMENSIONS)})
    SELECT key, {", ".join(DIMENSIONS)}
    FROM (SELECT key, {", ".join(DIMENSIONS)} FROM kinds UNION SELECT key, {", ".join(DIMENSIONS)} FROM senders) AS seen
    WHERE NOT EXISTS (SELECT FROM log_kinds WHERE log_kinds.key = seen.key)
"""
_TALLY = f"""
    {_CELLS},
    by_kind AS (
        INSERT INTO log_tallies (hour, kind_id, logs)
        SELECT :hour, k.id, sum(logs) FROM kinds JOIN log_kinds k USING (key) GROUP BY k.id
    ),
    by_sender AS (
        INSERT INTO sender_tallies (hour, kind_id, sender, logs)
        SELECT :hour, k.id, sender, sum(logs) FROM senders JOIN log_kinds k USING (key) GROUP BY k.id, sender
    )
    INSERT INTO delay_tallies (hour, kind_id, seconds, logs)
    SELECT :hour, k.id, seconds, sum(logs) FROM kinds JOIN log_kinds k USING (key)
    WHERE seconds IS NOT NULL GROUP BY k.id, seconds
"""
TABLES = ("log_tallies", "sender_tallies", "delay_tallies")

_MARK_CHANGED_HOURS = """
    WITH changed AS MATERIALIZED (
        SELECT id, occurred_at FROM log_changes WHERE stream_id = :stream_id AND id > :change_id ORDER BY id LIMIT :most
    ),
    marked AS (
        INSERT INTO untallied_hours (hour) SELECT DISTINCT date_trunc('hour', occurred_at, 'UTC') FROM changed
        ON CONFLICT DO NOTHING
    )
    INSERT INTO stream_tallies (stream_id, change_id) SELECT :stream_id, max(id) FROM changed HAVING count(*) > 0
    ON CONFLICT (stream_id) DO UPDATE SET change_id = excluded.change_id
"""


def catch_up(now: datetime, oldest: datetime, seconds: float) -> int:
    """Note which hours have changed, and tally those that are over, the newest first, for so long at most.

    Args:    oldest: logs before it are about to go: their hours are left alone.
    Returns: how many hours were tallied.
    """
    began, count = time.monotonic(), 0
    while time.monotonic() - began < seconds and _mark_changed_hours():
        pass
    while time.monotonic() - began < seconds:
        done = _tally_some(hour_start(now), next_hour(oldest))
        count += done
        if done < HOURS_AT_ONCE:
            break
    return count


def _mark_changed_hours() -> bool:
    """Note the hours that changes touched, some of each stream; say whether there were any."""
    with session_scope() as session:
        behind = change_consumers.lagging_streams(session, StreamTally) if _try_lock(session) else {}
        for stream_id, change_id in behind.items():
            given = {"stream_id": stream_id, "change_id": change_id, "most": CHANGES_AT_ONCE}
            session.execute(text(_MARK_CHANGED_HOURS), given)
        return bool(behind)


def _tally_some(until: datetime, oldest: datetime) -> int:
    """Tally some of the hours that are noted and over."""
    with session_scope() as session:
        if not _try_lock(session):
            return 0
        wanted = (
            "SELECT hour FROM untallied_hours WHERE hour >= :oldest AND hour < :until ORDER BY hour DESC LIMIT :most"
        )
        given = {"oldest": oldest, "until": until, "most": HOURS_AT_ONCE}
        hours = list(session.scalars(text(wanted), given))
        for table in ("untallied_hours", *TABLES):
            session.execute(text(f"DELETE FROM {table} WHERE hour = ANY(:hours)"), {"hours": hours})
        for hour in hours:
            # What changes from here on has a change that is not looked at yet, which makes the hour untallied again.
            session.execute(text(_ADD_DIMENSIONS), {"hour": hour, "next": hour + HOUR})
            session.execute(text(_TALLY), {"hour": hour, "next": hour + HOUR})
        return len(hours)


def _try_lock(session: Session) -> bool:
    """Make sure that nobody else tallies until the transaction ends."""
    return bool(session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": TALLY_LOCK}))


def use_snapshot(session: Session) -> None:
    """Let all that a session reads from here on be of one moment. It must not have read anything before."""
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def untallied(session: Session, first: datetime, last: datetime) -> list[datetime]:
    """List the hours of a span whose tallies do not hold, in order; where they do, no row means no log.

    Args:    first, last: whole hours, the latter not counted.
    """
    noted = select(UntalliedHour.hour).where(UntalliedHour.hour >= first, UntalliedHour.hour < last)
    changed = select(func.date_trunc("hour", LogChange.occurred_at, "UTC")).where(
        change_consumers.unseen_changes(session, StreamTally),
        LogChange.occurred_at >= first,
        LogChange.occurred_at < last,
    )
    return sorted(session.scalars(union(noted, changed)))


def delete_before(session: Session, cutoff: datetime) -> None:
    """Forget the hours of which logs are about to go; what is still there of them is read from the logs themselves."""
    bound = {"bound": next_hour(cutoff)}
    for table in ("untallied_hours", *TABLES):
        session.execute(text(f"DELETE FROM {table} WHERE hour < :bound"), bound)
    session.execute(
        text(
            "INSERT INTO untallied_hours (hour) SELECT DISTINCT date_trunc('hour', occurred_at, 'UTC') FROM logs"
            " WHERE occurred_at < :bound"
        ),
        bound,
    )


def next_hour(at: datetime) -> datetime:
    """Give the first moment from `at` on at which an hour begins."""
    hour = hour_start(at)
    return hour if hour == at else hour + HOUR


def hour_start(at: datetime) -> datetime:
    """Give the moment at which an hour begins."""
    return at.replace(minute=0, second=0, microsecond=0)
