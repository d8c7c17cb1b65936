"""Fraud watch: planted pumping of each shape is found in stored logs, and ordinary growth is not."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

import msgspec
import pytest

from app.config import get_settings
from app.database import session_scope
from app.enums import LogType
from app.errors import InvalidInput
from app.services.fraud import watch, watch_json
from app.services.fraud.suspicions import Kind, Suspicion
from app.services.ingest.normalize import normalize
from app.services.logs import tallies
from app.services.preview.service import preview
from app.services.rules.definition import parse_rule
from app.utils.clock import rfc3339
from scripts.twilio_simulator import Simulator, SimulatorClock, demo
from tests.fakes import START
from tests.feeding import Feed, evaluate
from tests.integration.fraud_traffic import NOW, Traffic


@pytest.fixture
def feed(database: str) -> Feed:
    return Feed(START - timedelta(days=60))


def found(hours: float = 24, until: datetime = NOW) -> Sequence[Suspicion]:
    with session_scope() as session:
        return watch.watch(session, until - timedelta(hours=hours), until).suspicions


def kinds(suspicions: Sequence[Suspicion]) -> set[tuple[str, str, str | None]]:
    return {(each.kind, each.log_type, each.to_country) for each in suspicions}


def test_a_month_of_ordinary_growth_raises_no_suspicion(feed: Feed) -> None:
    traffic = Traffic()
    traffic.grow()
    traffic.store(feed)
    for days in range(7):
        assert found(until=START - timedelta(days=days)) == []
    assert found(hours=24 * 7) == []


def test_a_new_country_is_found_and_an_old_one_is_not(feed: Feed) -> None:
    traffic = Traffic()
    traffic.grow(per_hour=0.2)
    traffic.send(START - timedelta(hours=2), "+37120000001", "LV")
    traffic.send(START - timedelta(hours=2), "+33612345678", "FR")
    traffic.send(START - timedelta(days=29), "+33612345678", "FR")
    traffic.store(feed)
    (only,) = found()
    hour = tallies.hour_start(START - timedelta(hours=2))
    assert (only.kind, only.to_country, only.count, only.at) == (Kind.NEW_COUNTRY, "LV", 1, hour)


def test_the_countries_of_an_account_that_is_new_here_are_not_new(feed: Feed) -> None:
    traffic = Traffic()
    traffic.send(START - timedelta(hours=2), "+37120000001", "LV")
    traffic.store(feed)
    feed.complete(NOW, START - timedelta(days=6))
    assert found() == []
    with session_scope() as session:
        (country,) = watch.watch(session, START - timedelta(hours=24), NOW).countries.values()
    assert (country.total, country.usual) == (1, None)


def test_consecutive_numbers_are_found_in_a_country_that_gets_much(feed: Feed) -> None:
    traffic = Traffic()
    traffic.grow(per_hour=6)
    for number in range(30):
        traffic.send(START - timedelta(hours=3, seconds=number), f"+447700900{number:03}", "GB")
    traffic.store(feed)
    (run,) = found()
    assert (run.kind, run.prefix, run.count, run.recipients) == (Kind.CONSECUTIVE_NUMBERS, "+447700900", 30, 30)


def test_numbers_that_follow_each_other_in_every_block_are_no_run(feed: Feed) -> None:
    traffic = Traffic()
    traffic.send(START - timedelta(days=20), "+447700000000", "GB")
    for number in range(12 * 30):
        to = f"+4477009{number // 30:02}{number % 30:03}"
        traffic.send(START - timedelta(minutes=3 * number), to, "GB")
    traffic.store(feed)
    assert Kind.CONSECUTIVE_NUMBERS not in {each.kind for each in found()}


def test_scattered_numbers_of_one_block_are_found_beside_many_other_blocks(feed: Feed) -> None:
    traffic = Traffic()
    traffic.grow(per_hour=6)
    for number in range(0, 300, 10):
        traffic.send(START - timedelta(hours=3, seconds=number), f"+447700900{number:03}", "GB")
    traffic.store(feed)
    assert [each.kind for each in found()] == [Kind.CONSECUTIVE_NUMBERS]


def send_to_block(traffic: Traffic, hours: range, per_hour: int = 40, ago: timedelta = timedelta(0)) -> None:
    """Send to a hundred consecutive numbers, as a customer base within one block looks."""
    random = Random(9)
    for hour in hours:
        for _ in range(per_hour):
            at = START - ago - timedelta(hours=hour, seconds=random.randrange(3600))
            traffic.send(at, f"+1415555{random.randrange(100, 200):04}", "US")


def test_a_block_that_gets_messages_all_day_is_no_run_though_no_week_before_is_known(feed: Feed) -> None:
    traffic = Traffic()
    send_to_block(traffic, range(24))
    for number in range(30):
        traffic.send(START - timedelta(hours=2, seconds=number), f"+447700900{number:03}", "GB")
    traffic.store(feed)
    feed.complete(NOW, START - timedelta(hours=24))
    assert [(each.kind, each.prefix) for each in found()] == [(Kind.CONSECUTIVE_NUMBERS, "+447700900")]
    assert [each.prefix for each in found(hours=3)] == ["+447700900"]


def test_a_block_is_a_run_only_beyond_what_it_usually_gets_and_its_rule_starts_above_that(feed: Feed) -> None:
    traffic = Traffic()
    for week in range(5):
        send_to_block(traffic, range(4), ago=week * timedelta(days=7))
    traffic.store(feed)
    assert found() == []
    for number in range(400):
        traffic.send(START - timedelta(hours=2, seconds=number), f"+1415555{100 + number % 100:04}", "US")
        traffic.send(START - timedelta(hours=2, seconds=number), f"+1415555{100 + number % 100:04}", "US")
    traffic.store(feed)
    (run,) = [each for each in found() if each.kind == Kind.CONSECUTIVE_NUMBERS]
    assert run.usual is not None
    assert 150 < run.usual <= 160, "the first and last hour are parts"
    for masked in (False, True):
        rule = parse_rule(run.rule(masked=masked))
        assert (rule.severity, rule.condition.count) == ("warning", 3 * run.usual_peak)  # type: ignore[union-attr]
        assert run.usual_peak >= 40


def read_simulator(twilio: Simulator, feed: Feed) -> None:
    """Store what a simulated Twilio has, as read whole for a day."""
    logs = defaultdict(list)
    for item in twilio.emitted():
        log_type = LogType(item.kind.log_type)
        record = msgspec.Raw(msgspec.json.encode(item.record))
        logs[log_type].append(normalize(log_type, record, hash(bytes(record)), twilio.clock.now()))
    for page in logs.values():
        feed.store(page, twilio.clock.now())
    feed.complete(twilio.clock.now(), START - timedelta(hours=24))


def test_the_ordinary_traffic_of_the_simulator_is_no_fraud_and_its_pump_is(feed: Feed) -> None:
    twilio = Simulator(clock=SimulatorClock(frozen_at=START))
    traffic = demo.start(twilio, history_hours=24)
    read_simulator(twilio, feed)
    for hours in (1, 24, 24 * 7):
        assert found(hours, START) == []
    traffic.begin("spend_surge")
    twilio.clock.advance(timedelta(minutes=10))
    read_simulator(twilio, feed)
    (only,) = found(until=START + timedelta(minutes=10))
    assert (only.kind, only.log_type, only.prefix, only.count) == (Kind.HIGH_COST_PREFIX, "message", "+882", 200)


def test_numbers_without_a_country_are_a_row_and_a_prefix_that_costs_much_counts_for_messages(feed: Feed) -> None:
    traffic = Traffic()
    traffic.grow(per_hour=1)
    for number in range(60):
        at = START - timedelta(hours=3, seconds=number)
        traffic.send(at, f"+88299{number * 4973 % 10**6:06}", "", to_country=None, price=Decimal("-0.5"))
        traffic.send(at, f"+25261{number * 4973 % 10**6:06}", "SO")
        traffic.send(START - timedelta(days=20, seconds=number), f"+25261{number * 4973 % 10**6:06}", "SO")
    traffic.store(feed)
    assert {(each.kind, each.prefix, each.to_country) for each in found() if each.to_country != "SO"} == {
        (Kind.COUNTRY_SURGE, None, None),
        (Kind.SPEND_SURGE, None, None),
        (Kind.HIGH_COST_PREFIX, "+882", None),
    }
    with session_scope() as session:
        seen = watch.watch(session, START - timedelta(hours=24), NOW)
    shown = watch_json.to_json(seen, masked=False)
    assert [(each["count"], each["usual"]) for each in shown["countries"] if each["to_country"] is None] == [(60, 0.0)]
    for item in shown["items"]:
        rule = parse_rule(item["rule"])
        assert rule.filters.to_country or "log.to" in (rule.pattern_value or ""), "it looks at no other messages"


def test_a_surge_is_found_by_number_and_by_money(feed: Feed) -> None:
    traffic = Traffic()
    traffic.grow(per_hour=3)
    random = Random(5)
    for number in range(300):
        to = f"+447{random.randrange(10**8, 10**9)}"
        traffic.send(START - timedelta(hours=5, seconds=number), to, "GB", price=Decimal("-0.5"))
    traffic.store(feed)
    assert kinds(found()) == {("country_surge", "message", "GB"), ("spend_surge", "message", "GB")}
    (money,) = [each for each in found() if each.kind == Kind.SPEND_SURGE]
    assert money.amount is not None
    assert money.amount >= 150
    assert money.price_unit == "USD"


def test_the_rule_of_the_smallest_surge_of_calls_alerts_on_it(feed: Feed) -> None:
    traffic = Traffic()
    traffic.send(START - timedelta(days=10), "+447012345678", "GB", "call")
    for number in range(10):
        to = f"+4470{number}2345678"
        traffic.send(START - timedelta(hours=3, seconds=number * 100), to, "GB", "call", duration_seconds=60)
    traffic.store(feed)
    evaluate(NOW)
    (surge,) = [each for each in found() if each.kind == Kind.COUNTRY_SURGE]
    asked = surge.rule(masked=False) | {"since": rfc3339(START - timedelta(days=2)), "until": rfc3339(START)}
    with session_scope() as session:
        previewed = preview(session, asked, get_settings(), NOW)
    assert len(previewed["alerts"]) == 1


def test_a_campaign_at_another_hour_of_each_day_is_no_surge(feed: Feed) -> None:
    traffic, random = Traffic(), Random(6)
    for days in range(35):
        begin = START - timedelta(days=days, hours=1 + days % 7)
        for _ in range(100):
            to = f"+447{random.randrange(10**8, 10**9)}"
            traffic.send(begin + timedelta(seconds=random.randrange(3000)), to, "GB")
    traffic.store(feed)
    assert found() == []


def test_short_calls_and_calls_to_high_cost_prefixes_are_found(feed: Feed) -> None:
    traffic = Traffic()
    traffic.grow(per_hour=3)
    random = Random(7)
    for number in range(25):
        to = f"+447701{random.randrange(10**5, 10**6)}"
        traffic.send(START - timedelta(hours=number % 20, seconds=number), to, "GB", "call", duration_seconds=2)
    traffic.send(START - timedelta(hours=3), "+88212345678", "", "call", to_country=None)
    traffic.send(START - timedelta(hours=3), "+25261234567", "SO", "call")
    traffic.send(START - timedelta(days=20), "+25261234567", "SO", "call")
    traffic.store(feed)
    by_kind = {(each.kind, each.prefix): each for each in found()}
    assert by_kind[Kind.SHORT_CALLS, "+447701"].count >= 25
    assert (Kind.HIGH_COST_PREFIX, "+882") in by_kind
    assert (Kind.HIGH_COST_PREFIX, "+252") in by_kind


def test_counts_are_the_same_from_tallies(feed: Feed) -> None:
    traffic = Traffic()
    traffic.grow(days=20)
    traffic.store(feed)
    with session_scope() as session:
        before = watch.watch(session, START - timedelta(hours=24), NOW)
    tallies.catch_up(NOW, START - timedelta(days=40), 1e9)
    with session_scope() as session:
        assert watch.watch(session, START - timedelta(hours=24), NOW) == before


def test_every_suspicion_has_a_rule_that_can_be_made_and_masked_shows_no_number(feed: Feed) -> None:
    traffic = Traffic()
    for number in range(30):
        at = START - timedelta(hours=3, seconds=number)
        traffic.send(at, f"+447700900{number:03}", "GB", price=Decimal(-1))
        traffic.send(at, f"+25261234{number:03}", "SO", "call", price=Decimal(-1), duration_seconds=1)
    traffic.store(feed)
    with session_scope() as session:
        seen = watch.watch(session, START - timedelta(hours=24), NOW)
    assert {each.kind for each in seen.suspicions} == set(Kind) - {Kind.COUNTRY_SURGE}
    for masked in (False, True):
        shown = watch_json.to_json(seen, masked=masked)
        for item in shown["items"]:
            assert parse_rule(item["rule"]).name == item["rule"]["name"]
        assert ("+447700" in str(shown)) is not masked


@pytest.mark.parametrize(("hours", "field"), [(0, "until"), (-5, "until"), (24 * 9, "since")])
def test_an_impossible_span_is_refused(feed: Feed, hours: float, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        found(hours=hours, until=START)
    assert [error.field for error in refused.value.errors] == [field]
