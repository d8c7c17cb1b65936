"""The rules against fraud, evaluated for real: planted pumping of each shape alerts, a month of growth does not."""

from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.models import Alert, Rule
from app.services import rule_admin
from app.services.fraud.prefixes import SATELLITE_AND_PREMIUM
from app.services.preview import deadline
from app.services.preview.service import preview
from app.services.rules.packs import find_pack
from app.services.rules.rule_index import RuleIndex
from app.utils.clock import rfc3339
from tests.factories import make_log, make_rule
from tests.fakes import START
from tests.feeding import Feed, evaluate
from tests.integration.fraud_traffic import NOW, Traffic

MONTH = timedelta(days=28)
INSTALLED = START - timedelta(hours=2)
ATTACK = START - timedelta(minutes=50)


@pytest.fixture
def feed(database: str) -> Feed:
    return Feed(START - timedelta(days=60))


def alerts_of(feed: Feed, traffic: Traffic) -> set[tuple[str, str | None]]:
    """Install the pack after what was before, let the traffic of two hours come, and list the alerts."""
    traffic.store_until(feed, INSTALLED)
    evaluate(INSTALLED)
    with session_scope() as session:
        rule_admin.install_pack(session, "fraud", INSTALLED)
        for rule in session.scalars(select(Rule)):
            rule.started_at = INSTALLED
    traffic.store_until(feed, START)
    evaluate(START)
    with session_scope() as session:
        return {(alert.rule_name, alert.group.get("to_country")) for alert in session.scalars(select(Alert))}


def usual_traffic(days: int = 31) -> Traffic:
    traffic = Traffic()
    traffic.grow(days)
    return traffic


def test_two_hours_of_ordinary_traffic_alert_nobody(feed: Feed) -> None:
    assert alerts_of(feed, usual_traffic()) == set()


def test_a_month_of_ordinary_growth_would_have_alerted_nobody(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "MAX_SECONDS", 600)
    usual_traffic(days=59).store(feed)
    evaluate(NOW)
    span = {"since": rfc3339(START - MONTH), "until": rfc3339(START)}
    for body in find_pack("fraud").as_json()["rules"]:
        with session_scope() as session:
            shown = preview(session, body | span, get_settings(), NOW)
        assert shown["population"] > 0, body["name"]
        assert shown["judged_until"] is not None, body["name"]
        assert shown["alerts"] == [], body["name"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("week", range(4))
def test_mornings_of_a_month_of_ordinary_growth_alert_nobody(feed: Feed, week: int) -> None:
    """Evaluated for real, hour by hour, from the night to noon: then traffic rises the most."""
    installed = START - MONTH + week * timedelta(days=7) - timedelta(hours=2)
    traffic = usual_traffic(days=59)
    traffic.store_until(feed, installed)
    evaluate(installed)
    with session_scope() as session:
        rule_admin.install_pack(session, "fraud", installed)
        for rule in session.scalars(select(Rule)):
            rule.started_at = installed
    for hours in range(1, 9):
        now = installed + timedelta(hours=hours)
        traffic.store_until(feed, now)
        evaluate(now)
    with session_scope() as session:
        assert set(session.scalars(select(Rule.last_evaluated_at))) == {now}
        assert [(each.rule_name, each.group, each.started_at) for each in session.scalars(select(Alert))] == []


def test_a_burst_to_a_new_country_alerts(feed: Feed) -> None:
    traffic, random = usual_traffic(), Random(1)
    for number in range(80):
        to = f"+371{random.randrange(2 * 10**7, 3 * 10**7)}"
        traffic.send(ATTACK + timedelta(seconds=10 * number), to, "LV")
    assert alerts_of(feed, traffic) == {("Messages to a new country", "LV"), ("Messages to one country multiply", "LV")}


def test_consecutive_numbers_alert(feed: Feed) -> None:
    traffic = usual_traffic()
    for number in range(80):
        traffic.send(ATTACK + timedelta(seconds=10 * number), f"+447700900{number:03}", "GB")
    assert alerts_of(feed, traffic) == {("Messages to one country multiply", "GB")}


def test_a_surge_of_spend_alerts(feed: Feed) -> None:
    traffic, random = usual_traffic(), Random(2)
    for log_type in ("message", "call"):
        for number in range(7):
            to = f"+447{random.randrange(10**8, 10**9)}"
            traffic.send(ATTACK + timedelta(seconds=60 * number), to, "GB", log_type, price=Decimal(-4))
    assert alerts_of(feed, traffic) == {
        ("High cost of messages to one country", "GB"),
        ("High cost of calls to one country", "GB"),
    }


def test_short_calls_alert(feed: Feed) -> None:
    traffic, random = usual_traffic(), Random(4)
    for number in range(25):
        to = f"+447701{random.randrange(10**5, 10**6)}"
        traffic.send(ATTACK + timedelta(seconds=30 * number), to, "GB", "call", duration_seconds=2)
    assert alerts_of(feed, traffic) == {
        ("Short calls to one country multiply", "GB"),
        ("Calls to one country multiply", "GB"),
    }


def test_the_rule_about_premium_numbers_takes_the_prefixes_of_the_fraud_watch() -> None:
    (body,) = [each for each in find_pack("fraud").as_json()["rules"] if each["name"].startswith("Calls to premium")]
    names = ("log_type", "pattern_type", "pattern_value")
    index = RuleIndex([make_rule(**{name: body[name] for name in names})])
    numbers = [*(f"{prefix}12345678" for prefix in SATELLITE_AND_PREMIUM), "+447700900123", "+18705550100"]
    logs = [make_log(log_type="call", status="completed", to=number) for number in numbers]
    assert [bool(found) for found in index.match_batch(logs)] == [True] * len(SATELLITE_AND_PREMIUM) + [False, False]
