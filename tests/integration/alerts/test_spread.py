"""What a mail says of how far an alert reaches: numbers, countries, accounts, and what to do."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from app.config import get_settings
from app.database import session_scope
from app.models import Delivery
from app.services import rule_admin
from app.services.outbox import actions
from tests.fakes import START
from tests.feeding import ACCOUNT, Feed, evaluate, log

pytestmark = pytest.mark.usefixtures("database")
MAIL = {"action_type": "email", "config": {"recipients": ["ops@example.com"]}}
SCHEDULE = {"timezone": "Europe/Berlin", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
RULE = {
    "name": "Failures",
    "description": "Runbook: https://wiki.example.com/sms",
    "log_type": "message",
    "pattern_type": "error_code",
    "pattern_value": "30003,30007",
    "condition": {"type": "threshold", "count": 6, "window_minutes": 5},
    "schedule": SCHEDULE | {"start": "00:00", "end": "00:00"},
}


def mail_about(countries: list[str], senders: int, codes: tuple[int, ...] = (30003,), **of_rule: Any) -> str:
    """Let messages to numbers of these countries fail, and return the text of the mail that tells of them."""
    feed = Feed(START - timedelta(days=10))
    with session_scope() as session:
        session.execute(text("UPDATE accounts SET friendly_name = 'Acme Production'"))
        rule_admin.create(session, RULE | of_rule, get_settings(), START)
        session.flush()
        session.execute(text("UPDATE rules SET started_at = :at"), {"at": START})
        actions.create(session, MAIL, get_settings(), START)
    at = START + timedelta(minutes=1)
    logs = [
        log(
            number,
            at,
            to=f"+4477009001{number:02}",
            to_country=country,
            from_=f"+1415555010{number % senders}",
            error_code=codes[number % len(codes)],
        )
        for number, country in enumerate(countries)
    ]
    feed.store(logs, at)
    evaluate(at + timedelta(seconds=1))
    with session_scope() as session:
        [content] = session.scalars(
            select(Delivery.content).where(Delivery.type == "alert.firing").order_by(Delivery.number).limit(1)
        )
    return str(content["text"])


def test_a_national_outage_is_sent_as_one_message() -> None:
    said = mail_about(["GB"] * 8, senders=3)
    assert "8 recipients, 3 senders" in said
    assert "Error codes" not in said
    assert "United Kingdom (GB)" in said
    assert f"Acme Production ({ACCOUNT})" in said
    assert "8 numbers are affected, all in one country: United Kingdom (GB)." in said
    assert "Lookup" not in said.partition("WHAT TO DO NEXT")[2].partition("ERROR")[0]
    assert "in Berlin)" in said
    assert "https://wiki.example.com/sms" in said


def test_the_commonest_country_comes_first() -> None:
    said = mail_about(["FR", "GB", "GB", "GB", "FR", "IE", "DE", "GB"], senders=1)
    assert "United Kingdom (GB), France (FR), Germany (DE) and 1 more" in said
    assert "They share one sender." in said


def test_several_error_codes_are_counted_the_commonest_first() -> None:
    said = mail_about(["GB"] * 9, senders=3, codes=(30007, 30007, 30003))
    assert "Error codes:        30007 (6), 30003 (3)" in said


def test_a_condition_says_what_it_measured_and_what_to_do() -> None:
    new_value = {"type": "new_value", "field": "to_country", "lookback_days": 1}
    said = mail_about(["GB"], senders=1, condition=new_value, pattern_type="any", pattern_value=None)
    assert "GB" in next(line for line in said.splitlines() if line.startswith("Values"))
    assert "Check whether the new value is expected." in said.partition("WHAT TO DO NEXT")[2]
