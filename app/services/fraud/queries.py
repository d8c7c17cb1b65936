"""Reads what fraud is found by: counts from tallies, the rest from the outbound logs of a span. One statement each."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.enums import LogType
from app.models import Stream
from app.services.logs.outbound import OUTBOUND
from app.services.logs.search import LogFilter
from app.services.logs.stats import Count, Snapshot

WEEK = timedelta(days=7)
WEEKS = 4
"""A span is compared with the same hours of so many weeks before."""
NEW_AFTER = timedelta(days=30)
"""A country is new if it got nothing for so long."""
MAX_COUNTRIES = 1_000
MAX_ROWS = 50
"""Of runs and of short calls, those with the most receivers or calls."""
MIN_RECEIVERS = 20
MIN_SHARE_IN_A_ROW = 0.5
DENSER_FACTOR = 2
"""Where most numbers of every block get messages, they follow each other by chance."""
CROWDED_FACTOR = 10
MIN_OTHER_BLOCKS = 10
"""Of fewer blocks an average says little."""
SHORT_SECONDS = 5
MIN_SHORT_CALLS = 20
MIN_SHORT_SHARE = 0.5
SHORT_PREFIX_LENGTH = 7

_NUMBER = "^[+][0-9]{8,15}$"
_WITHIN = " OR ".join(f"(occurred_at >= :since{week} AND occurred_at < :until{week})" for week in range(WEEKS + 1))
_SENT = """
    log_type IN ('message', 'call') AND direction = ANY(:directions)
    AND occurred_at >= :since AND occurred_at < :until
"""
_SPEND = f"""
    SELECT log_type, to_country, price_unit, date_trunc('hour', occurred_at, 'UTC') AS hour, sum(abs(price)) AS amount
    FROM logs
    WHERE log_type IN ('message', 'call') AND direction = ANY(:directions) AND price <> 0 AND price_unit IS NOT NULL
          AND to_country IS NOT NULL
          AND ({_WITHIN})
    GROUP BY 1, 2, 3, 4
"""
_RUNS = f"""
    WITH receivers AS (
        SELECT log_type, to_country, to_, CAST(substr(to_, 2) AS bigint) AS digits, count(*) AS logs,
               max(occurred_at) AS last_at
        FROM logs WHERE {_SENT} AND to_ ~ '{_NUMBER}'
        GROUP BY log_type, to_country, to_
    ),
    steps AS (
        SELECT *, digits - lag(digits) OVER (PARTITION BY log_type ORDER BY digits) AS step FROM receivers
    ),
    blocks AS (
        SELECT log_type, to_country, left(to_, -3) AS prefix, count(*) AS receivers, sum(logs) AS logs,
               count(*) FILTER (WHERE step = 1) AS in_a_row, max(last_at) AS last_at
        FROM steps GROUP BY log_type, to_country, left(to_, -3)
    ),
    compared AS (
        SELECT *, count(*) OVER country - 1 AS other_blocks,
               sum(receivers) OVER country - receivers AS other_receivers
        FROM blocks WINDOW country AS (PARTITION BY log_type, to_country)
    )
    SELECT log_type, to_country, prefix, receivers, CAST(logs AS bigint) AS logs, in_a_row, last_at
    FROM compared
    WHERE receivers >= {MIN_RECEIVERS} AND (
        (in_a_row >= {MIN_SHARE_IN_A_ROW} * receivers
         AND (other_blocks < {MIN_OTHER_BLOCKS} OR receivers * other_blocks >= {DENSER_FACTOR} * other_receivers))
        OR (other_blocks >= {MIN_OTHER_BLOCKS} AND receivers * other_blocks >= {CROWDED_FACTOR} * other_receivers)
    )
    ORDER BY receivers DESC, prefix LIMIT {MAX_ROWS}
"""
_CALLS = f"""
    WITH marked AS (
        SELECT *, status = 'completed' AND duration_seconds <= {SHORT_SECONDS} AS short
        FROM logs WHERE {_SENT} AND log_type = 'call' AND to_ ~ '{_NUMBER}'
    ),
    prefixes AS (
        SELECT to_country, left(to_, {SHORT_PREFIX_LENGTH}) AS prefix, count(*) AS calls,
               count(*) FILTER (WHERE status = 'completed') AS answered, count(*) FILTER (WHERE short) AS short,
               count(DISTINCT to_) FILTER (WHERE short) AS receivers, max(occurred_at) AS last_at
        FROM marked GROUP BY 1, 2
    )
    SELECT * FROM prefixes
    WHERE (short >= {MIN_SHORT_CALLS} AND short >= {MIN_SHORT_SHARE} * answered) OR prefix LIKE ANY(:high_cost)
    ORDER BY short DESC, prefix
"""


class Spend(NamedTuple):
    """What outbound logs to a country cost in one hour."""

    log_type: str
    to_country: str
    price_unit: str
    hour: datetime
    amount: Decimal


class Run(NamedTuple):
    """Receivers whose numbers differ in the last three digits only."""

    log_type: str
    to_country: str | None
    prefix: str
    receivers: int
    logs: int
    in_a_row: int
    """Receivers whose number directly follows the one of another."""
    last_at: datetime


class CallPrefix(NamedTuple):
    """Calls to numbers that begin alike."""

    to_country: str | None
    prefix: str
    calls: int
    answered: int
    short: int
    """Answered, and ended within seconds."""
    receivers: int
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
    """Return for each log type since when the logs of some account are known whole."""
    query = select(Stream.log_type, func.min(Stream.complete_from)).group_by(Stream.log_type)
    return {row[0]: row[1] for row in session.execute(query)}


def spend(session: Session, since: datetime, until: datetime) -> list[Spend]:
    """Add up the absolute prices by hour, country and currency, in the span and the weeks before."""
    spans: dict[str, Any] = {}
    for week in range(WEEKS + 1):
        spans |= {f"since{week}": since - week * WEEK, f"until{week}": until - week * WEEK}
    return [Spend(*row) for row in session.execute(text(_SPEND), _directions() | spans)]


def runs(session: Session, since: datetime, until: datetime) -> list[Run]:
    """Find blocks of a thousand numbers with many receivers that follow each other, or far more than other blocks."""
    return [Run(*row) for row in session.execute(text(_RUNS), _span(since, until))]


def call_prefixes(session: Session, since: datetime, until: datetime, high_cost: Iterable[str]) -> list[CallPrefix]:
    """Count the calls by the first digits of the receiver, where many are short or the prefix costs much."""
    given = _span(since, until) | {"high_cost": [f"{prefix}%" for prefix in high_cost]}
    return [CallPrefix(*row) for row in session.execute(text(_CALLS), given)]


def _span(since: datetime, until: datetime) -> dict[str, Any]:
    return _directions() | {"since": since, "until": until}


def _directions() -> dict[str, Sequence[str]]:
    return {"directions": sorted({direction for known in OUTBOUND.values() for direction in known})}
