"""Reads the numbers that show fraud: counts from tallies, the rest from outbound logs, one statement each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.enums import LogType
from app.models import Stream
from app.services.logs import tallies
from app.services.logs.outbound import OUTBOUND
from app.services.logs.search import LogFilter
from app.services.logs.stats import Count, Snapshot

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
WEEKS = 4
"""A span is compared with the same hours of this many weeks before."""
NEW_AFTER = timedelta(days=30)
"""A country is new if nothing was sent there for this long."""
MAX_COUNTRIES = 1_000
MAX_ROWS = 50
"""The most runs, and prefixes with short calls, that are shown: those with the most recipients or calls."""
MIN_RECIPIENTS = 20
MIN_SHARE_IN_A_ROW = 0.5
DENSER_FACTOR = 2
"""If most numbers of every block get messages, they are consecutive by chance."""
CROWDED_FACTOR = 10
MIN_OTHER_BLOCKS = 10
"""The average of fewer blocks means little."""
SHORT_SECONDS = 5
MIN_SHORT_CALLS = 20
MIN_SHORT_SHARE = 0.5
SHORT_PREFIX_LENGTH = 7

_NUMBER = "^[+][0-9]{8,15}$"
_IN_WEEKS = " OR ".join(f"(occurred_at >= :since{week} AND occurred_at < :until{week})" for week in range(WEEKS + 1))
_HOUR = "date_trunc('hour', occurred_at, 'UTC') AS hour, occurred_at >= :since0 AS is_now"
_SENT = """
    log_type IN ('message', 'call') AND direction = ANY(:directions)
    AND occurred_at >= :since AND occurred_at < :until
"""
_SPEND = f"""
    SELECT log_type, to_country, price_unit, {_HOUR}, sum(abs(price)) AS amount
    FROM logs
    WHERE log_type IN ('message', 'call') AND direction = ANY(:directions) AND price <> 0 AND price_unit IS NOT NULL
          AND ({_IN_WEEKS})
    GROUP BY 1, 2, 3, 4, 5
"""
_BLOCKS = f"""
    SELECT log_type, left(to_, -3) AS prefix, {_HOUR}, count(*) AS logs
    FROM logs
    WHERE log_type IN ('message', 'call') AND direction = ANY(:directions) AND left(to_, -3) = ANY(:prefixes)
          AND ({_IN_WEEKS} OR (occurred_at >= :day_before AND occurred_at < :until0))
    GROUP BY 1, 2, 3, 4
"""
_RUNS = f"""
    WITH recipients AS (
        SELECT log_type, to_country, to_, CAST(substr(to_, 2) AS bigint) AS digits, count(*) AS logs,
               max(occurred_at) AS last_at
        FROM logs WHERE {_SENT} AND to_ ~ '{_NUMBER}'
        GROUP BY log_type, to_country, to_
    ),
    steps AS (
        SELECT *, digits - lag(digits) OVER (PARTITION BY log_type ORDER BY digits) AS step FROM recipients
    ),
    blocks AS (
        SELECT log_type, to_country, left(to_, -3) AS prefix, count(*) AS recipients, sum(logs) AS logs,
               count(*) FILTER (WHERE step = 1) AS in_a_row, max(last_at) AS last_at
        FROM steps GROUP BY log_type, to_country, left(to_, -3)
    ),
    compared AS (
        SELECT *, count(*) OVER country - 1 AS other_blocks,
               sum(recipients) OVER country - recipients AS other_recipients
        FROM blocks WINDOW country AS (PARTITION BY log_type, to_country)
    )
    SELECT log_type, to_country, prefix, recipients, CAST(logs AS bigint) AS logs, in_a_row, last_at
    FROM compared
    WHERE recipients >= {MIN_RECIPIENTS} AND (
        (in_a_row >= {MIN_SHARE_IN_A_ROW} * recipients
         AND (other_blocks < {MIN_OTHER_BLOCKS} OR recipients * other_blocks >= {DENSER_FACTOR} * other_recipients))
        OR (other_blocks >= {MIN_OTHER_BLOCKS} AND recipients * other_blocks >= {CROWDED_FACTOR} * other_recipients)
    )
    ORDER BY recipients DESC, prefix LIMIT {MAX_ROWS}
"""
_PREFIXES = f"""
    WITH marked AS (
        SELECT *, status = 'completed' AND duration_seconds <= {SHORT_SECONDS} AS short
        FROM logs WHERE {_SENT} AND to_ ~ '{_NUMBER}' AND (log_type = 'call' OR to_ LIKE ANY(:for_messages))
    ),
    prefixes AS (
        SELECT log_type, to_country, left(to_, {SHORT_PREFIX_LENGTH}) AS prefix, count(*) AS logs,
               count(*) FILTER (WHERE status = 'completed') AS answered, count(*) FILTER (WHERE short) AS short,
               count(DISTINCT to_) FILTER (WHERE short) AS recipients, max(occurred_at) AS last_at
        FROM marked GROUP BY 1, 2, 3
    )
    SELECT * FROM prefixes
    WHERE (short >= {MIN_SHORT_CALLS} AND short >= {MIN_SHORT_SHARE} * answered)
          OR prefix LIKE ANY(:for_calls) OR log_type = 'message'
    ORDER BY short DESC, prefix
"""


class Spend(NamedTuple):
    """The cost of outbound logs to a country in one hour, in the span or before it."""

    log_type: str
    to_country: str | None
    price_unit: str
    hour: datetime
    is_now: bool
    amount: Decimal


class BlockHour(NamedTuple):
    """Outbound logs to a block of a thousand numbers in one hour, in the span or before it."""

    log_type: str
    prefix: str
    hour: datetime
    is_now: bool
    logs: int


class Run(NamedTuple):
    """Recipients whose numbers differ in the last three digits only."""

    log_type: str
    to_country: str | None
    prefix: str
    recipients: int
    logs: int
    in_a_row: int
    """Recipients whose number directly follows another recipient's."""
    last_at: datetime


class Prefix(NamedTuple):
    """Logs to numbers with the same first digits."""

    log_type: str
    to_country: str | None
    prefix: str
    logs: int
    answered: int
    short: int
    """Answered, and ended within seconds."""
    recipients: int
    """Of short calls."""
    last_at: datetime

    @property
    def is_short(self) -> bool:
        """Whether many calls were short."""
        return self.short >= MIN_SHORT_CALLS and self.short >= MIN_SHORT_SHARE * self.answered


def count_by_country(snapshot: Snapshot, log_type: LogType, since: datetime, until: datetime) -> list[Count]:
    """Count the outbound logs of a type by hour and country."""
    wanted = LogFilter(log_type=(log_type,), direction=OUTBOUND[log_type], since=since, until=until)
    return snapshot.count(wanted, "hour", "to_country", MAX_COUNTRIES)


def known_from(session: Session) -> dict[str, datetime | None]:
    """Return for each log type since when the logs of some account are complete."""
    query = select(Stream.log_type, func.min(Stream.complete_from)).group_by(Stream.log_type)
    return {row[0]: row[1] for row in session.execute(query)}


def spend(session: Session, since: datetime, until: datetime) -> list[Spend]:
    """Add up the absolute prices by hour, country and currency, in the span and the weeks before."""
    return [Spend(*row) for row in session.execute(text(_SPEND), _weeks(since, until))]


def runs(session: Session, since: datetime, until: datetime) -> list[Run]:
    """Find blocks of a thousand numbers with many consecutive recipients, or with far more than other blocks."""
    return [Run(*row) for row in session.execute(text(_RUNS), _span(since, until))]


def block_hours(session: Session, since: datetime, until: datetime, prefixes: Sequence[str]) -> list[BlockHour]:
    """Count the logs to blocks of numbers by hour: in the span, the day before its end, and the weeks before."""
    given = _weeks(since, until) | {"prefixes": prefixes, "day_before": until - DAY}
    return [BlockHour(*row) for row in session.execute(text(_BLOCKS), given)] if prefixes else []


def prefixes(
    session: Session, since: datetime, until: datetime, high_cost: Mapping[LogType, Iterable[str]]
) -> list[Prefix]:
    """Count logs by the first digits of the recipient, if the prefix is expensive or many calls are short.

    Args:    high_cost: the expensive prefixes by log type.
    """
    starts = {f"for_{log_type}s": [f"{each}%" for each in found] for log_type, found in high_cost.items()}
    return [Prefix(*row) for row in session.execute(text(_PREFIXES), _span(since, until) | starts)]


def _weeks(since: datetime, until: datetime) -> dict[str, Any]:
    """Return the bounds of the span, and of the whole hours that contain it in the weeks before."""
    spans: dict[str, Any] = {"since0": since, "until0": until}
    for week in range(1, WEEKS + 1):
        first, last = tallies.hour_start(since), tallies.next_hour(until)
        spans |= {f"since{week}": first - week * WEEK, f"until{week}": last - week * WEEK}
    return _directions() | spans


def _span(since: datetime, until: datetime) -> dict[str, Any]:
    return _directions() | {"since": since, "until": until}


def _directions() -> dict[str, Sequence[str]]:
    return {"directions": sorted({direction for known in OUTBOUND.values() for direction in known})}
