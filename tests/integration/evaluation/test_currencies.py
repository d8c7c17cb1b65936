"""Sums of prices in several currencies: counted apart where the rule asks for it, live and in the preview."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select, text

from app.config import get_settings
from app.database import session_scope
from app.models import Alert
from app.services import rule_admin
from app.services.preview.service import preview
from tests.fakes import START
from tests.feeding import Feed, evaluate, log

pytestmark = pytest.mark.usefixtures("database")
RULE = {
    "name": "Spend",
    "log_type": "message",
    "pattern_type": "any",
    "condition": {"type": "sum", "field": "price", "at_least": 50, "window_minutes": 60},
    "group_by": ["price_unit"],
}


def test_prices_are_summed_by_currency_and_told_with_it() -> None:
    feed = Feed(START - timedelta(days=10))
    with session_scope() as session:
        rule_admin.create(session, RULE, START)
        session.flush()
        session.execute(text("UPDATE rules SET started_at = :at"), {"at": START})
    at = START + timedelta(minutes=70)
    prices = [("USD", "-40"), ("EUR", "-30"), ("EUR", "-25"), (None, None)]
    logs = [
        log(number, at, price=None if price is None else Decimal(price), price_unit=unit)
        for number, (unit, price) in enumerate(prices)
    ]
    feed.store(logs, at)
    feed.complete(at + timedelta(minutes=5), START - timedelta(days=10))
    evaluate(at + timedelta(minutes=5))
    with session_scope() as session:
        query = select(Alert.group, Alert.value, Alert.summary).where(Alert.rule_id.is_not(None))
        [alert] = session.execute(query).all()
        span = {"since": START.isoformat(), "until": (at + timedelta(minutes=5)).isoformat()}
        shown = preview(session, RULE | span, get_settings(), at + timedelta(minutes=5))
    assert (alert.group, alert.value) == ({"price_unit": "EUR"}, 55.0)
    assert alert.summary == "price of 2 messages in EUR reached 50 in an hour (now 55)"
    assert [each["group"] for each in shown["alerts"]] == [{"price_unit": "EUR"}]
