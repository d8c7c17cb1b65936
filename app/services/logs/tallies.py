"""Counts logs per hour in the background, so that plots over months need not scan millions of rows.

Tallies follow the log changes, as the text index does, so storing a log costs nothing more. An hour that a change
touched is untallied until it is counted again. Until then its logs are read directly, so every result is exact.
"""

import time
from datetime import datetime, timedelta

from sqlalchemy import func, select, text, union
from sqlalchemy.orm import Session

from app.database import AdvisoryLock, session_scope
from app.models import LogChange, SenderTally, StreamTally, UntalliedHour
from app.services.log_fields import FIELDS
from app.services.logs import change_consumers
from app.utils.calendar_edges import shift

HOUR = timedelta(hours=1)
CHANGES_AT_ONCE = 200_000
HOURS_AT_ONCE = 12
"""Hours tallied per transaction."""

DIMENSIONS = ("account_id", "log_type", *(field.column for field in FIELDS if field.tallied), "final", "price_unit")
WITHOUT_SENDER = ("to_country", "messaging_service_sid")
SENDER_DIMENSIONS = tuple(f"CAST(NULL AS text) AS {name}" if name in WITHOUT_SENDER else name for name in DIMENSIONS)
DELAYED = "log_type = 'message' AND final AND direction LIKE 'outbound%'"
"""The messages that are delivered or not. Their delays are measured if they were seen in time."""
DELAY = "CAST(floor(extract(epoch FROM coalesce(final_at, changed_at) - occurred_at)) AS int)"
"""Twilio's times are precise to the second."""

_CELLS = f"""
    WITH found AS (
        SELECT {", ".join(name for name in DIMENSIONS if name != "price_unit")}, coalesce(from_, '') AS sender,
               CASE WHEN price IS NOT NULL THEN price_unit END AS price_unit, abs(price) AS amount,
               CASE WHEN {DELAYED} THEN {DELAY} END AS seconds, final_at
        FROM logs WHERE occurred_at >= :hour AND occurred_at < :next
    ),
    cells AS MATERIALIZED (
        SELECT {", ".join(DIMENSIONS)}, sender, seconds, count(*) AS logs, count(final_at) AS timed,
               coalesce(sum(amount), 0) AS price
        FROM found GROUP BY {", ".join(DIMENSIONS)}, sender, seconds
    ),
    kinds AS MATERIALIZED (
        SELECT *, CAST(ROW({", ".join(DIMENSIONS)}) AS text) AS key FROM cells
    ),
    senders AS MATERIALIZED (
        SELECT *, CAST(ROW({", ".join(DIMENSIONS)}) AS text) AS key
        FROM (SELECT {", ".join(SENDER_DIMENSIONS)}, sender, seconds, logs, timed, price FROM cells) AS narrowed
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
        INSERT INTO log_tallies (hour, kind_id, logs, price)
        SELECT :hour, k.id, sum(logs), sum(price) FROM kinds JOIN log_kinds k USING (key) GROUP BY k.id
    ),
    by_sender AS (
        INSERT INTO sender_tallies (hour, kind_id, sender, logs, price, seconds, timed)
        SELECT :hour, id, sender, sum(logs), sum(price), array_agg(seconds) FILTER (WHERE is_known),
               array_agg(timed) FILTER (WHERE is_known)
        FROM (
            SELECT k.id, sender, seconds, sum(logs) AS logs, CAST(sum(timed) AS int) AS timed, sum(price) AS price,
                   seconds IS NOT NULL AND sum(timed) > 0 AS is_known
            FROM senders JOIN log_kinds k USING (key) GROUP BY k.id, sender, seconds
        ) AS narrowed
        GROUP BY id, sender
    )
    INSERT INTO delay_tallies (hour, kind_id, seconds, logs, timed)
    SELECT :hour, k.id, seconds, sum(logs), sum(timed) FROM kinds JOIN log_kinds k USING (key)
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

_WANTED_HOURS = """
    SELECT hour FROM (
        SELECT hour FROM untallied_hours UNION SELECT hour FROM sender_tallies WHERE price IS NULL
    ) AS wanted
    WHERE hour >= :oldest AND hour < :until ORDER BY hour DESC LIMIT :most
"""


def catch_up(now: datetime, oldest: datetime, seconds: float) -> int:
    """Mark changed hours and tally the past ones, newest first, for a limited time.

    Args:    oldest: hours of earlier logs are skipped: those logs are deleted soon.
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
    """Mark hours touched by changes, a batch per stream. Return whether there were any."""
    with session_scope() as session:
        behind = change_consumers.lagging_streams(session, StreamTally) if _try_lock(session) else {}
        for stream_id, change_id in behind.items():
            given = {"stream_id": stream_id, "change_id": change_id, "most": CHANGES_AT_ONCE}
            session.execute(text(_MARK_CHANGED_HOURS), given)
        return bool(behind)


def _tally_some(until: datetime, oldest: datetime) -> int:
    """Tally a batch of marked hours that are past."""
    with session_scope() as session:
        if not _try_lock(session):
            return 0
        given = {"oldest": oldest, "until": until, "most": HOURS_AT_ONCE}
        hours = list(session.scalars(text(_WANTED_HOURS), given))
        for table in ("untallied_hours", *TABLES):
            session.execute(text(f"DELETE FROM {table} WHERE hour = ANY(:hours)"), {"hours": hours})
        for hour in hours:
            # Later changes are still unprocessed, and will mark the hour as untallied again.
            session.execute(text(_ADD_DIMENSIONS), {"hour": hour, "next": hour + HOUR})
            session.execute(text(_TALLY), {"hour": hour, "next": hour + HOUR})
        return len(hours)


def _try_lock(session: Session) -> bool:
    """Try to become the only tallier until the transaction ends."""
    return bool(session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": AdvisoryLock.TALLIES}))


def use_snapshot(session: Session) -> None:
    """Use a repeatable-read snapshot. Must come before the session's first statement."""
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def untallied(session: Session, first: datetime, last: datetime) -> list[datetime]:
    """List the untallied hours of a span, in order. In all others, a missing row means no logs.

    Args:    first, last: whole hours, `last` exclusive.
    """
    noted = select(UntalliedHour.hour).where(UntalliedHour.hour >= first, UntalliedHour.hour < last)
    by_earlier_version = select(SenderTally.hour).where(
        SenderTally.price.is_(None), SenderTally.hour >= first, SenderTally.hour < last
    )
    changed = select(func.date_trunc("hour", LogChange.occurred_at, "UTC")).where(
        change_consumers.unseen_changes(session, StreamTally),
        LogChange.occurred_at >= first,
        LogChange.occurred_at < last,
    )
    return sorted(session.scalars(union(noted, by_earlier_version, changed)))


def delete_before(session: Session, cutoff: datetime) -> None:
    """Delete the tallies of expired hours. Their remaining logs are read directly."""
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
    """Return the first full hour at or after `at`."""
    hour = hour_start(at)
    return hour if hour == at else shift(hour, HOUR)


def hour_start(at: datetime) -> datetime:
    """Return the start of the hour of `at`."""
    return at.replace(minute=0, second=0, microsecond=0)
