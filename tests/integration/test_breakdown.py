"""Breakdowns by country, sender, service and code: held against a plain reckoning over the same logs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from statistics import quantiles
from typing import Any

import pytest
from sqlalchemy import text

from app.database import session_scope
from app.enums import LogType
from app.errors import InvalidInput
from app.services.logs import breakdown, cells, tallies
from app.services.logs.breakdown import Breakdown, break_down
from app.services.logs.search import LogFilter
from app.services.logs.types import NormalizedLog
from app.services.reports import comparison
from tests.fakes import START, minutes
from tests.feeding import Feed, log

SPAN = LogFilter(since=START, until=START + timedelta(hours=1))
SIX = START.replace(minute=0)
FROM_SIX = replace(SPAN, since=SIX)
"""With a whole hour, which tallies can answer."""
OUTCOMES = [
    *[("delivered", None)] * 6,
    ("undelivered", 30003),
    ("failed", 30007),
    ("sent", None),
    ("read", None),
]
SERVICES = ("MG" + "1" * 32, "MG" + "2" * 32, None)


def random_logs(seed: int, count: int = 400) -> list[NormalizedLog]:
    random = Random(seed)
    made = []
    for number in range(count):
        status, code = random.choice(
            [("delivered", None)] * 6 + [("undelivered", 30003), ("failed", 30007), ("sent", None), ("read", None)]
        )
        price = random.choice([None, Decimal("-0.0075"), Decimal("-0.04"), Decimal(-1)])
        created = START + timedelta(seconds=random.randrange(-3600, 3600))
        made.append(
            log(
                number + 1,
                created,
                changed_at=created + timedelta(seconds=random.choice([0, 1, 2, 5, 60])),
                status=status,
                error_code=code,
                direction=random.choice(["outbound-api", "outbound-reply", "inbound"]),
                to_country=random.choice(["GB", "US", None]),
                from_=random.choice(["+14155550100", "+14155550101", None]),
                messaging_service_sid=random.choice(SERVICES),
                price=price,
                price_unit=None if price is None else random.choice(["USD", "EUR"]),
            )
        )
    return made


def of(logs: Sequence[NormalizedLog], by: str, value: object) -> list[NormalizedLog]:
    return [each for each in logs if getattr(each, "from_" if by == "from" else by) == value]


def measured(logs: Sequence[NormalizedLog]) -> list[NormalizedLog]:
    return [each for each in logs if each.final and str(each.direction).startswith("outbound")]


def share(logs: Sequence[NormalizedLog]) -> float | None:
    final = measured(logs)
    return sum(each.status in ("delivered", "read") for each in final) / len(final) if final else None


def found(log_filter: LogFilter, by: str) -> list[Breakdown]:
    with session_scope() as session:
        return break_down(session, log_filter, by)


def store_in_time(feed: Feed, logs: Sequence[NormalizedLog]) -> None:
    """Store logs as polls would that come every five minutes."""
    pages = defaultdict(list)
    for each in logs:
        pages[(each.occurred_at - START) // timedelta(minutes=5)].append(each)
    for number, page in pages.items():
        feed.store(page, START + (number + 2) * timedelta(minutes=5))


@pytest.mark.parametrize("tallied", [False, True])
@pytest.mark.parametrize("by", ["to_country", "from", "messaging_service_sid", "error_code"])
def test_figures_are_those_of_a_plain_reckoning(feed: Feed, by: str, tallied: bool) -> None:
    logs = random_logs(7)
    in_time = logs[::2]
    store_in_time(feed, in_time)
    feed.store(logs, START + timedelta(hours=2))
    if tallied:
        tallies.catch_up(START + timedelta(hours=2), START - timedelta(days=1), 60)
    now = [each for each in logs if each.occurred_at >= SIX]
    before = [each for each in logs if each.occurred_at < SIX]
    rows = found(FROM_SIX, by)
    assert sum(row.total for row in rows) == len(now)
    assert [row.total for row in rows] == sorted((row.total for row in rows), reverse=True)
    for row in rows:
        own = of(now, by, row.value)
        seconds = [(each.changed_at - each.occurred_at).total_seconds() for each in measured(own) if each in in_time]
        assert (row.total, row.final) == (len(own), len(measured(own)))
        assert row.delivered_share == share(own)
        assert row.delivered_share_before == share(of(before, by, row.value))
        if len(seconds) > 1:
            cuts = quantiles(seconds, n=100, method="inclusive")
            assert row.percentile(0.5) == pytest.approx(cuts[49])
            assert row.percentile(0.95) == pytest.approx(cuts[94])
        codes = [each.error_code for each in own if each.error_code is not None]
        assert row.top_error_code == max(sorted(set(codes)), key=codes.count, default=None)
        for unit in ("USD", "EUR"):
            prices = [abs(each.price) for each in own if each.price is not None and each.price_unit == unit]
            assert row.price.get(unit, Decimal(0)) == sum(prices, Decimal(0))
            delivered = [each for each in measured(own) if each.status in ("delivered", "read")]
            priced = sum(each.price is not None and each.price_unit == unit for each in delivered)
            assert row.price_per_delivered.get(unit) == (sum(prices, Decimal(0)) / priced if priced else None)


def test_filters_are_those_of_logs(feed: Feed) -> None:
    logs = random_logs(8)
    feed.store(logs, START + timedelta(hours=2))
    narrowed = replace(SPAN, to_country=("GB",), direction=("outbound-api",), q="+1415555010")
    rows = found(narrowed, "from")
    own = [
        each
        for each in logs
        if each.occurred_at >= START and (each.to_country, each.direction) == ("GB", "outbound-api") and each.from_
    ]
    assert sum(row.total for row in rows) == len(own)
    for row in rows:
        assert row.delivered_share == share(of(own, "from", row.value))


def test_one_sender_is_broken_down_from_tallies_as_from_the_logs(feed: Feed) -> None:
    logs = random_logs(9)
    store_in_time(feed, logs)
    own = replace(FROM_SIX, until=SIX + tallies.HOUR, from_=("+14155550100",), log_type=(LogType.MESSAGE,))
    by_code, by_sender, by_country = (found(own, by) for by in ("error_code", "from", "to_country"))
    assert by_sender[0].seconds
    tallies.catch_up(START + timedelta(hours=2), START - timedelta(days=1), 60)
    with session_scope() as session:
        session.execute(text("DELETE FROM logs WHERE occurred_at < :until"), {"until": SIX + tallies.HOUR})
    assert (found(own, "error_code"), found(own, "from")) == (by_code, by_sender)
    assert found(own, "to_country") == [] != by_country, "countries of one sender are in the logs alone"


def test_a_value_without_deliveries_has_no_price_per_delivered(feed: Feed) -> None:
    feed.store([log(1, START), log(2, START, status="queued", error_code=None, to_country="US", price=None)], START)
    shown = {each["value"]: each for each in map(breakdown.to_json, found(SPAN, "to_country"))}
    assert (shown["GB"]["delivered_share"], shown["GB"]["price_per_delivered"]) == (0.0, {})
    assert shown["GB"]["price"] == {"USD": "0.0075"}
    nothing: dict[str, Any] = {"delivered_share": None, "p50_seconds": None, "top_error_code": None, "price": {}}
    assert {name: shown["US"][name] for name in nothing} == nothing


@pytest.mark.parametrize(("read_from", "accounts", "known"), [(-60, (), True), (-59, (), False), (-59, ("AC1",), True)])
def test_nothing_is_said_of_a_span_before_that_was_not_read_whole(
    feed: Feed, read_from: int, accounts: tuple[str, ...], known: bool
) -> None:
    """Streams of other accounts, and of calls, do not count."""
    other = Feed(START - timedelta(days=10), "AC1")
    for each in (feed, other):
        each.complete(minutes(60), minutes(-60))
    with session_scope() as session:
        session.execute(text("UPDATE streams SET complete_from = :at WHERE log_type = 'call'"), {"at": minutes(0)})
    with session_scope() as session:
        stream = {"at": minutes(read_from), "id": feed.stream_ids["message"]}
        session.execute(text("UPDATE streams SET complete_from = :at WHERE id = :id"), stream)
    other.store([log(number, minutes(20 * number - 40)) for number in range(4)], minutes(60))
    with session_scope() as session:
        [row], is_known = comparison.break_down(session, replace(SPAN, account_sid=accounts), "to_country")
    assert is_known is known
    assert (row.final, row.final_before, row.delivered_share_before) == ((2, 2, 0) if known else (2, None, None))


def test_rare_values_are_added_up(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakdown, "MAX_VALUES", 2)
    logs = [
        log(number, START, to_country=country)
        for number, country in enumerate(["GB"] * 4 + ["US"] * 3 + ["FR", "DE"], 1)
    ]
    feed.store(logs, START)
    assert [(row.value, row.total) for row in found(SPAN, "to_country")] == [("GB", 4), ("US", 3), ("__other__", 2)]


@pytest.mark.parametrize(
    ("since", "until", "field"), [(0, 0, "until"), (0, -1, "until"), (0, 93 * 24, "since"), (-24 * 93, 0, "since")]
)
@pytest.mark.usefixtures("feed")
def test_an_impossible_span_is_refused(since: int, until: int, field: str) -> None:
    span = LogFilter(since=START + timedelta(hours=since), until=START + timedelta(hours=until))
    with pytest.raises(InvalidInput) as refused:
        found(span, "from")
    assert [error.field for error in refused.value.errors] == [field]


def test_too_much_is_refused_with_what_to_do(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.store([log(number, START, from_=f"+1415555{number:04}") for number in range(1, 10)], START)
    monkeypatch.setattr(cells, "MAX_CELLS", 8)
    with pytest.raises(InvalidInput, match="narrow the filters"):
        found(SPAN, "from")


def test_a_breakdown_that_takes_too_long_is_refused(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakdown, "MAX_SECONDS", 0.05)
    with session_scope() as session:
        session.execute(text("LOCK TABLE logs IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(InvalidInput, match="takes longer"):
            found(SPAN, "from")
