"""Sums of prices in several currencies: each counted by itself, live and in the preview."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from app.config import get_settings
from app.database import session_scope
from app.models import Alert
from app.services import rule_admin
from app.services.logs.types import NormalizedLog
from app.services.preview.service import preview
from app.services.serializers import alert_json
from app.utils.clock import rfc3339
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate, log
from tests.profiles import examples

LAST = 120
_accounts = count(800_000)


class Price(NamedTuple):
    """One message, by the minute after the start."""

    at: int
    unit: str | None
    amount: int
    country: str = "GB"

    def record(self, number: int) -> NormalizedLog:
        price = -Decimal(self.amount) if self.amount else None
        return log(number, minutes(self.at), price=price, price_unit=self.unit, to_country=self.country)


class SpendCase:
    """An account with prices, and a rule that sums them over an hour."""

    def __init__(self, **fields: Any) -> None:
        self.sid = f"AC{next(_accounts):032x}"
        self.feed = Feed(START - timedelta(days=10), sid=self.sid)
        condition = {"type": "sum", "field": "price", "at_least": 50, "window_minutes": 60}
        plain = {"name": "Spend", "log_type": "message", "pattern_type": "any", "condition": condition}
        self.body = plain | {"filters": {"account_sid": [self.sid]}} | fields
        with session_scope() as session:
            rule = rule_admin.create(session, self.body, get_settings(), START)
            rule.started_at = START
            self.rule_id: UUID = rule.id

    def evaluate(self, until: datetime) -> None:
        self.feed.complete(until, START - timedelta(days=10))
        evaluate(until)

    def alerts(self) -> Sequence[Alert]:
        with session_scope() as session:
            query = select(Alert).where(Alert.rule_id == self.rule_id).order_by(Alert.started_at, Alert.group_key)
            found = session.scalars(query).all()
            session.expunge_all()
        return found

    def previewed(self, until: datetime) -> list[Mapping[str, Any]]:
        with session_scope() as session:
            span = {"since": rfc3339(START), "until": rfc3339(until)}
            alerts: list[Mapping[str, Any]] = preview(session, self.body | span, get_settings(), until)["alerts"]
        return alerts


def told(prices: Sequence[Price], **fields: Any) -> tuple[list[dict[str, Any]], list[Mapping[str, Any]]]:
    """Give the alerts of these prices as JSON, and those of the preview."""
    case = SpendCase(**fields)
    case.feed.store([price.record(number) for number, price in enumerate(prices)], minutes(75))
    case.evaluate(minutes(75))
    return [alert_json(alert) for alert in case.alerts()], case.previewed(minutes(75))


@pytest.mark.usefixtures("database")
def test_prices_are_summed_by_currency_and_shown_with_it() -> None:
    prices = [Price(70, "USD", 40), Price(70, "EUR", 30), Price(70, "EUR", 25), Price(70, None, 0)]
    [alert], [shown] = told(prices, group_by=["price_unit"])
    assert (alert["group"], alert["value"]) == ({"price_unit": "EUR"}, 55.0)
    assert alert["summary"] == "price of 2 messages in EUR reached 50 in an hour (now 55)"
    assert "price_unit" not in alert
    assert shown["group"] == {"price_unit": "EUR"}


@pytest.mark.usefixtures("database")
def test_amounts_in_two_currencies_are_not_added_up() -> None:
    assert told([Price(70, "USD", 40), Price(70, "EUR", 40)]) == ([], [])


@pytest.mark.usefixtures("database")
def test_an_alert_names_the_currency_that_passed() -> None:
    [alert], [shown] = told([Price(68, "USD", 40), Price(70, "EUR", 30), Price(70, "EUR", 25)])
    assert (alert["group"], alert["value"], alert["price_unit"]) == ({}, 55.0, "EUR")
    assert alert["summary"] == "price of 3 messages reached 50 EUR in an hour (now 55 EUR)"
    assert (shown["started_at"], shown["occurrences"]) == (alert["started_at"], alert["occurrences"])


@pytest.mark.usefixtures("database")
def test_a_sum_in_one_currency_does_not_name_it() -> None:
    [alert], _ = told([Price(68, "USD", 40), Price(70, "USD", 10), Price(70, None, 0)])
    assert "price_unit" not in alert
    assert alert["summary"] == "price of 3 messages reached 50 in an hour (now 50)"


@pytest.mark.usefixtures("database")
def test_counts_without_a_unit_still_count() -> None:
    case = SpendCase()
    case.feed.store([Price(30, "USD", 30).record(1)], minutes(31))
    case.evaluate(minutes(31))
    with session_scope() as session:
        session.execute(text("UPDATE minute_counts SET unit = '' WHERE rule_id = :id"), {"id": case.rule_id})
    case.feed.store([Price(70, "USD", 20).record(2), Price(70, "EUR", 10).record(3)], minutes(71))
    case.evaluate(minutes(71))
    [alert] = case.alerts()
    assert (alert.value, alert.price_unit) == (50.0, "USD")


class Episode(NamedTuple):
    """An alert by group, minute of start, minute of end and number of logs."""

    country: str | None
    started: int
    resolved: int | None
    logs: int


def expected(prices: Sequence[Price], at_least: int, window: int, *, grouped: bool) -> list[Episode]:
    """Sum each unit of each group at each minute; what has no unit counts towards each."""
    found = []
    for country in sorted({price.country for price in prices}) if grouped else [None]:
        own = [price for price in prices if country in (None, price.country)]
        started = None
        for at in range(window, LAST + 2):
            inside = [price for price in own if at - window < price.at <= at]
            units: set[str | None] = {price.unit for price in own if price.unit}
            sums = (sum(price.amount for price in inside if price.unit in (None, unit)) for unit in units or {None})
            holds = at <= LAST and any(amount >= at_least for amount in sums)
            if holds and started is None:
                started = at
            elif started is not None and not holds:
                logs = [price for price in own if started - window < price.at <= at]
                found.append(Episode(country, started, at if at <= LAST else None, len(logs)))
                started = None
    return sorted(found, key=repr)


prices = st.builds(
    Price,
    at=st.integers(1, LAST - 1),
    unit=st.sampled_from(["USD", "USD", "EUR", "GBP", None]),
    amount=st.integers(0, 30),
    country=st.sampled_from(["GB", "US"]),
)


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@given(
    made=st.lists(prices, max_size=20),
    at_least=st.sampled_from([1, 20, 50]),
    window=st.integers(1, 50),
    grouped=st.booleans(),
    chance=st.randoms(use_true_random=False),
    batch_size=st.integers(1, 20),
)
@example(  # no currency reaches what both would come to
    made=[Price(10, "USD", 30), Price(11, "EUR", 30)],
    at_least=50,
    window=20,
    grouped=False,
    chance=Random(1),
    batch_size=1,
)
@settings(max_examples=examples(3), phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
def test_live_and_preview_are_what_each_unit_comes_to_in_whatever_order_logs_arrive(
    database: str, made: list[Price], at_least: int, window: int, grouped: bool, chance: Any, batch_size: int
) -> None:
    condition = {"type": "sum", "field": "price", "at_least": at_least, "window_minutes": window}
    case = SpendCase(condition=condition, group_by=["to_country"] if grouped else [])
    records = [price.record(number) for number, price in enumerate(made)]
    chance.shuffle(records)
    for first in range(0, len(records), batch_size):
        case.feed.store(records[first : first + batch_size], minutes(LAST))
        evaluate(minutes(0))
    case.evaluate(minutes(LAST))
    wanted = expected(made, at_least, window, grouped=grouped)
    lived = [_episode(alert_json(alert)) for alert in case.alerts()]
    assert sorted(lived, key=repr) == wanted
    assert sorted((_episode(each) for each in case.previewed(minutes(LAST))), key=repr) == wanted
    with session_scope() as session:
        rule_admin.delete(session, case.rule_id, get_settings(), minutes(LAST))


def _episode(alert: Mapping[str, Any]) -> Episode:
    started, resolved = (
        None if alert[name] is None else int((datetime.fromisoformat(alert[name]) - START) / timedelta(minutes=1))
        for name in ("started_at", "resolved_at")
    )
    assert started is not None
    return Episode(alert["group"].get("to_country"), started, resolved, alert["occurrences"])
