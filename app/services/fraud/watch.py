"""Watches for fraud in a span: what the traffic of each country was, and what in it looks like pumping."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.database import limit_statements
from app.enums import LogType
from app.errors import FieldError, InvalidInput, TookTooLong
from app.services.fraud import queries
from app.services.fraud.prefixes import HIGH_COST, high_cost_prefix
from app.services.fraud.queries import NEW_AFTER, WEEK, CallPrefix
from app.services.fraud.suspicions import Kind, Suspicion
from app.services.fraud.weeks import Comparison, compare
from app.services.logs.outbound import OUTBOUND
from app.services.logs.stats import OTHER, Snapshot
from app.services.logs.tallies import hour_start
from app.utils.clock import rfc3339, rfc3339_or_none
from app.utils.json_types import JsonObject

SHOWN_SPAN = timedelta(hours=24)
MAX_SPAN = timedelta(days=7)
MAX_SECONDS = 20
LEAST_LOGS: Mapping[LogType, int] = {LogType.MESSAGE: 50, LogType.CALL: 10}
LEAST_AMOUNT = 10
"""In the currency of the account."""
MIN_HISTORY = WEEK
"""Of a type whose logs are known for less, every country would be new."""
TOO_LONG = f"takes longer than {MAX_SECONDS} seconds: shorten the span"


class Key(NamedTuple):
    """What is compared apart."""

    log_type: LogType
    to_country: str
    price_unit: str | None = None


@dataclass(frozen=True)
class FraudWatch:
    """What was found in a span."""

    since: datetime
    until: datetime
    known_from: Mapping[str, datetime | None]
    suspicions: Sequence[Suspicion]
    countries: Mapping[Key, Comparison]
    """Outbound logs, the country with the most logs first."""
    spend: Mapping[Key, Comparison]
    """Money, by currency, the largest amount first."""


def watch(session: Session, since: datetime, until: datetime) -> FraudWatch:
    """Look for fraud in the outbound logs created in a span, which begins at a whole hour: `since` is rounded down.

    Args:    session: one that has not read anything yet.
    Raises:  InvalidInput where the span is empty or too long, or holds too much.
    """
    if until <= since:
        raise InvalidInput([FieldError("until", "must be later than since")])
    if until - since > MAX_SPAN:
        raise InvalidInput([FieldError("since", f"must not be more than {MAX_SPAN.days} days before until")])
    if since.year < 2000:
        raise InvalidInput([FieldError("since", "must be later than 2000")])
    since, until = hour_start(since.astimezone(UTC)), until.astimezone(UTC)
    snapshot = Snapshot(session)
    try:
        with limit_statements(session, MAX_SECONDS):
            return _watch(session, snapshot, since, until)
    except TookTooLong:
        raise InvalidInput([FieldError("since", TOO_LONG)]) from None


def _watch(session: Session, snapshot: Snapshot, since: datetime, until: datetime) -> FraudWatch:
    known = queries.known_from(session)
    logs = {
        key: hours
        for log_type in OUTBOUND
        for key, hours in _logs_by_hour(snapshot, log_type, since - NEW_AFTER, until).items()
    }
    money: defaultdict[Key, dict[datetime, float]] = defaultdict(dict)
    for row in queries.spend(session, since, until):
        money[Key(LogType(row.log_type), row.to_country, row.price_unit)][row.hour] = float(row.amount)
    countries = {
        key: compare(hours, since, until, known.get(key.log_type), LEAST_LOGS[key.log_type])
        for key, hours in logs.items()
    }
    spend = {key: compare(hours, since, until, known.get(key.log_type), LEAST_AMOUNT) for key, hours in money.items()}
    new = {key for key, hours in logs.items() if _is_new(hours, since, known.get(key.log_type))}
    calls = queries.call_prefixes(session, since, until, HIGH_COST)
    found = [
        *_by_country(countries, new),
        *_by_money(spend),
        *_runs(session, since, until),
        *_prefixes(calls),
        *(_short(each) for each in [each for each in calls if each.is_short][: queries.MAX_ROWS]),
    ]
    return FraudWatch(since, until, known, found, _ordered(countries), _ordered(spend))


def _logs_by_hour(
    snapshot: Snapshot, log_type: LogType, since: datetime, until: datetime
) -> dict[Key, dict[datetime, float]]:
    found: defaultdict[Key, dict[datetime, float]] = defaultdict(dict)
    for each in queries.count_by_country(snapshot, log_type, since, until):
        if isinstance(each.value, str) and each.value != OTHER:
            found[Key(log_type, each.value)][each.at] = each.count
    return found


def _is_new(hours: Mapping[datetime, float], since: datetime, known_from: datetime | None) -> bool:
    return known_from is not None and known_from <= since - MIN_HISTORY and min(hours) >= since


def _ordered(found: Mapping[Key, Comparison]) -> dict[Key, Comparison]:
    """Order by total, without what has nothing in the span."""
    items = sorted(found.items(), key=lambda item: (-item[1].total, item[0][:2], item[0].price_unit or ""))
    return {key: each for key, each in items if each.total}


def _by_country(countries: Mapping[Key, Comparison], new: set[Key]) -> Iterator[Suspicion]:
    for key, each in _ordered(countries).items():
        if each.peak_at is not None and (key in new or each.is_surge):
            kind = Kind.NEW_COUNTRY if key in new else Kind.COUNTRY_SURGE
            yield Suspicion(kind, key.log_type, key.to_country, None, round(each.total), each.usual, each.peak_at)


def _by_money(spend: Mapping[Key, Comparison]) -> Iterator[Suspicion]:
    for key, each in _ordered(spend).items():
        if each.peak_at is not None and each.is_surge:
            amount = Decimal(f"{each.total:.6f}")
            yield Suspicion(
                Kind.SPEND_SURGE, key.log_type, key.to_country, None, 0, each.usual, each.peak_at, amount=amount,
                price_unit=key.price_unit,
            )  # fmt: skip


def _runs(session: Session, since: datetime, until: datetime) -> Iterator[Suspicion]:
    for run in queries.runs(session, since, until):
        log_type = LogType(run.log_type)
        yield Suspicion(
            Kind.CONSECUTIVE_NUMBERS, log_type, run.to_country, run.prefix, run.logs, None, run.last_at, run.receivers
        )


def _prefixes(calls: Sequence[CallPrefix]) -> Iterator[Suspicion]:
    """Add up the calls to each high-cost prefix; the one with the most calls comes first."""
    counts: Counter[str] = Counter()
    last_at: dict[str, datetime] = {}
    for each in calls:
        if prefix := high_cost_prefix(each.prefix):
            counts[prefix] += each.calls
            last_at[prefix] = max(each.last_at, last_at.get(prefix, each.last_at))
    for prefix, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield Suspicion(Kind.HIGH_COST_PREFIX, LogType.CALL, None, prefix, count, None, last_at[prefix])


def _short(each: CallPrefix) -> Suspicion:
    return Suspicion(
        Kind.SHORT_CALLS, LogType.CALL, each.to_country, each.prefix, each.short, None, each.last_at, each.receivers
    )


def to_json(found: FraudWatch, *, masked: bool) -> JsonObject:
    """Serialize what was found. Amounts are decimal texts.

    Args:    masked: phone numbers are masked.
    """
    return {
        "since": rfc3339(found.since),
        "until": rfc3339(found.until),
        "items": [_suspicion_json(each, masked=masked) for each in found.suspicions],
        "countries": [
            {
                "log_type": key.log_type,
                "to_country": key.to_country,
                "count": round(each.total),
                "usual": each.usual,
                "peak_at": rfc3339_or_none(each.peak_at),
                "peak_count": round(each.peak),
                "peak_usual": each.peak_usual,
            }
            for key, each in found.countries.items()
        ],
        "spend": [
            {
                "log_type": key.log_type,
                "to_country": key.to_country,
                "price_unit": key.price_unit,
                "amount": _money(each.total),
                "usual": None if each.usual is None else _money(each.usual),
                "hours": [{"at": rfc3339(at), "amount": _money(amount)} for at, amount in each.hours],
            }
            for key, each in found.spend.items()
        ],
    }


def _suspicion_json(each: Suspicion, *, masked: bool) -> JsonObject:
    return {
        "kind": each.kind,
        "log_type": each.log_type,
        "to_country": each.to_country,
        "prefix": each.shown_prefix(masked=masked),
        "count": each.count,
        "receivers": each.receivers,
        "amount": None if each.amount is None else _money(each.amount),
        "price_unit": each.price_unit,
        "usual": each.usual,
        "at": rfc3339(each.at),
        "detail": each.detail(masked=masked),
        "advice": each.advice,
        "rule": each.rule(masked=masked),
    }


def _money(amount: float | Decimal) -> str:
    return f"{amount:.4f}"
