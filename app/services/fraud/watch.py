"""Watches for fraud in a span: compares the traffic of each country, and finds what looks like pumping."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.database import limit_statements
from app.enums import OTHER_VALUE, LogType
from app.errors import FieldError, InvalidInput, StatementTimeout
from app.services.fraud import queries
from app.services.fraud.prefixes import HIGH_COST_BY_TYPE, high_cost_prefix
from app.services.fraud.queries import NEW_AFTER, WEEK, Prefix
from app.services.fraud.suspicions import LEAST_AMOUNT, Kind, Suspicion
from app.services.fraud.weeks import Comparison, Hours, compare, is_burst
from app.services.logs.outbound import OUTBOUND
from app.services.logs.stats import Snapshot
from app.services.spans import check_span

SHOWN_SPAN = timedelta(hours=24)
MAX_SPAN = timedelta(days=7)
MAX_SECONDS = 20
LEAST_LOGS: Mapping[LogType, int] = {LogType.MESSAGE: 50, LogType.CALL: 10}
MIN_HISTORY = WEEK
"""With less history of a log type, every country would be new."""
TOO_LONG = f"takes longer than {MAX_SECONDS} seconds: shorten the span"


class Key(NamedTuple):
    """The key of a comparison."""

    log_type: LogType
    to_country: str | None
    """None for numbers without a country, such as short codes and international networks."""
    price_unit: str | None = None


@dataclass(frozen=True)
class FraudWatch:
    """The result for a span."""

    since: datetime
    until: datetime
    known_from: Mapping[str, datetime | None]
    suspicions: Sequence[Suspicion]
    countries: Mapping[Key, Comparison]
    """Outbound logs, the country with the most logs first."""
    spend: Mapping[Key, Comparison]
    """Money, by currency, the largest amount first."""


def watch(session: Session, since: datetime, until: datetime) -> FraudWatch:
    """Look for fraud in the outbound logs created in a span.

    Args:    session: one that has not read anything yet.
    Raises:  InvalidInput if the span is empty, too long, or has too many logs.
    """
    check_span(since, until, MAX_SPAN)
    if since.year < 2000:
        raise InvalidInput([FieldError("since", "must be later than 2000")])
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    snapshot = Snapshot(session)
    try:
        with limit_statements(session, MAX_SECONDS):
            return _watch(session, snapshot, since, until)
    except StatementTimeout:
        raise InvalidInput([FieldError("since", TOO_LONG)]) from None


def _watch(session: Session, snapshot: Snapshot, since: datetime, until: datetime) -> FraudWatch:
    known = queries.known_from(session)
    logs = {key: hours for log_type in OUTBOUND for key, hours in _by_hour(snapshot, log_type, since, until).items()}
    spend = _compare_money(session, since, until, known)
    countries = {
        key: compare(hours, since, until, known.get(key.log_type), LEAST_LOGS[key.log_type])
        for key, hours in logs.items()
    }
    new = {key for key, hours in logs.items() if _is_new(key, hours, since, known.get(key.log_type))}
    prefixes = queries.prefixes(session, since, until, HIGH_COST_BY_TYPE)
    found = [
        *_by_country(countries, new),
        *_by_money(spend),
        *_runs(session, since, until, known, countries),
        *_prefixes(prefixes),
        *(_short(each, countries) for each in [each for each in prefixes if each.is_short][: queries.MAX_ROWS]),
    ]
    return FraudWatch(since, until, known, found, _ordered(countries), spend)


def compare_spend(session: Session, since: datetime, until: datetime) -> Mapping[Key, Comparison]:
    """Compare what outbound logs of a span cost with the same hours of the weeks before, the largest amount first."""
    return _compare_money(session, since, until, queries.known_from(session))


def _compare_money(
    session: Session, since: datetime, until: datetime, known: Mapping[str, datetime | None]
) -> Mapping[Key, Comparison]:
    money = _money_by_hour(queries.spend(session, since, until))
    return _ordered(
        {key: compare(hours, since, until, known.get(key.log_type), LEAST_AMOUNT) for key, hours in money.items()}
    )


def _by_hour(snapshot: Snapshot, log_type: LogType, since: datetime, until: datetime) -> dict[Key, Hours]:
    """Count the logs of each country in the span, and in the thirty days before, which decide what is new."""
    found: defaultdict[Key, Hours] = defaultdict(lambda: Hours({}, {}))
    for is_now, span in ((True, (since, until)), (False, (since - NEW_AFTER, since))):
        for each in queries.count_by_country(snapshot, log_type, *span):
            if each.value != OTHER_VALUE:
                hours = found[Key(log_type, None if each.value is None else str(each.value))]
                hours.set(each.at, each.count, is_now=is_now)
    return found


def _money_by_hour(spend: Iterable[queries.Spend]) -> dict[Key, Hours]:
    found: defaultdict[Key, Hours] = defaultdict(lambda: Hours({}, {}))
    for row in spend:
        key = Key(LogType(row.log_type), row.to_country, row.price_unit)
        found[key].set(row.hour, float(row.amount), is_now=row.is_now)
    return found


def _is_new(key: Key, hours: Hours, since: datetime, known_from: datetime | None) -> bool:
    is_known = known_from is not None and known_from <= since - MIN_HISTORY
    return is_known and key.to_country is not None and not hours.past


def _ordered(found: Mapping[Key, Comparison]) -> dict[Key, Comparison]:
    """Order by total, and drop keys without logs in the span."""
    items = sorted(found.items(), key=lambda item: (-item[1].total, *(part or "" for part in item[0])))
    return {key: each for key, each in items if each.total}


def _by_country(countries: Mapping[Key, Comparison], new: set[Key]) -> Iterator[Suspicion]:
    for key, each in _ordered(countries).items():
        if each.peak_at is not None and (key in new or each.is_surge):
            kind = Kind.NEW_COUNTRY if key in new else Kind.COUNTRY_SURGE
            yield Suspicion(
                kind, key.log_type, key.to_country, None, round(each.total), each.usual, each.peak_at,
                usual_peak=each.busiest or 0,
            )  # fmt: skip


def _by_money(spend: Mapping[Key, Comparison]) -> Iterator[Suspicion]:
    for key, each in spend.items():
        if each.peak_at is not None and each.is_surge:
            amount = Decimal(f"{each.total:.6f}")
            yield Suspicion(
                Kind.SPEND_SURGE, key.log_type, key.to_country, None, 0, each.usual, each.peak_at, amount=amount,
                price_unit=key.price_unit, usual_peak=each.busiest or 0,
            )  # fmt: skip


def _runs(
    session: Session,
    since: datetime,
    until: datetime,
    known: Mapping[str, datetime | None],
    countries: Mapping[Key, Comparison],
) -> Iterator[Suspicion]:
    """Find unusual runs: five times what is usual for their block, or bursts if that is not known."""
    runs = queries.runs(session, since, until)
    blocks: defaultdict[tuple[str, str], Hours] = defaultdict(lambda: Hours({}, {}))
    for row in queries.block_hours(session, since, until, [run.prefix for run in runs]):
        blocks[row.log_type, row.prefix].set(row.hour, row.logs, is_now=row.is_now)
    for run in runs:
        log_type, hours, known_from = LogType(run.log_type), blocks[run.log_type, run.prefix], known.get(run.log_type)
        block = compare(hours, since, until, known_from, queries.MIN_RECIPIENTS)
        if block.is_surge or (block.usual is None and is_burst(hours, until, known_from)):
            yield Suspicion(
                Kind.CONSECUTIVE_NUMBERS, log_type, run.to_country, run.prefix, run.logs, block.usual, run.last_at,
                run.recipients, usual_peak=block.busiest or 0,
                country_peak=_busiest_hour(countries, Key(log_type, run.to_country)),
            )  # fmt: skip


def _busiest_hour(countries: Mapping[Key, Comparison], key: Key) -> float:
    """Return the highest hour of a country in the weeks before; in the span if they are not known."""
    each = countries.get(key)
    return 0 if each is None else each.peak if each.busiest is None else each.busiest


def _prefixes(found: Sequence[Prefix]) -> Iterator[Suspicion]:
    """Add up the logs of each high-cost prefix, the most frequent first."""
    counts: Counter[tuple[LogType, str]] = Counter()
    last_at: dict[tuple[LogType, str], datetime] = {}
    for each in found:
        if prefix := high_cost_prefix(each.prefix):
            key = LogType(each.log_type), prefix
            counts[key] += each.logs
            last_at[key] = max(each.last_at, last_at.get(key, each.last_at))
    for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        log_type, prefix = key
        yield Suspicion(Kind.HIGH_COST_PREFIX, log_type, None, prefix, count, None, last_at[key])


def _short(each: Prefix, countries: Mapping[Key, Comparison]) -> Suspicion:
    return Suspicion(
        Kind.SHORT_CALLS, LogType.CALL, each.to_country, each.prefix, each.short, None, each.last_at, each.recipients,
        country_peak=_busiest_hour(countries, Key(LogType.CALL, each.to_country)),
    )  # fmt: skip
