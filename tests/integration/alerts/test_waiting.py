"""What the end of an alert waits for: that the streams which its rule looks at are read whole."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.database import session_scope
from app.models import Account, Stream
from tests.fakes import START, minutes
from tests.feeding import ACCOUNT, Feed, evaluate, log
from tests.integration.alerts.stories import make_rule, only_alert

OTHER = "AC" + "1" * 32


def fire(feed: Feed, **rule: Any) -> None:
    log_type = rule.get("log_type", "message")
    make_rule(resolve_after_minutes=10, **rule)
    feed.store([log(1, minutes(1), log_type="call" if log_type == "call" else "message")], minutes(1))
    evaluate(minutes(1))


def set_streams(feed: Feed, *log_types: str, **values: Any) -> None:
    with session_scope() as session:
        of_it = Stream.account_id == feed.account_id
        session.execute(update(Stream).where(of_it, Stream.log_type.in_(log_types)).values(**values))


@pytest.fixture
def feed(database: str) -> Feed:
    feed = Feed(START - timedelta(days=10))
    feed.complete(minutes(11))
    return feed


CODES = {"pattern_type": "error_code", "pattern_value": "30003"}


@pytest.mark.parametrize(
    ("rule", "behind", "ends"),
    [
        ({}, "call", True),
        ({}, "message", False),
        ({"log_type": "any"}, "call", False),
        ({"log_type": "call", "pattern_value": "undelivered"}, "error", True),
        ({"log_type": "call"} | CODES, "error", False),
        ({"log_type": "call", "group_by": ["error_code"]}, "error", False),
        (CODES, "error", True),
    ],
)
def test_the_end_waits_for_the_streams_that_the_rule_looks_at(
    feed: Feed, rule: dict[str, Any], behind: str, ends: bool
) -> None:
    set_streams(feed, behind, complete_until=minutes(10.5))
    fire(feed, **rule)
    evaluate(minutes(20))
    assert only_alert().status == ("resolved" if ends else "firing")
    feed.complete(minutes(11))
    evaluate(minutes(21))
    assert only_alert().status == "resolved"


@pytest.mark.parametrize(
    ("rule", "account", "stream", "ends"),
    [
        ({}, {}, {}, False),
        ({"filters": {"account_sid": [ACCOUNT]}}, {}, {}, True),
        ({}, {"enabled": False}, {}, True),
        ({}, {}, {"unavailable": True}, True),
    ],
)
def test_the_end_waits_for_the_accounts_that_the_rule_looks_at_and_can_be_read(
    feed: Feed, rule: dict[str, Any], account: dict[str, Any], stream: dict[str, Any], ends: bool
) -> None:
    other = Feed(START - timedelta(days=10), OTHER)
    set_streams(other, "call", "message", "error", complete_until=minutes(5), last_success_at=minutes(5), **stream)
    with session_scope() as session:
        session.execute(update(Account).where(Account.sid == OTHER).values(sid=OTHER, **account))
    fire(feed, **rule)
    evaluate(minutes(20))
    assert only_alert().status == ("resolved" if ends else "firing")


def test_an_account_that_cannot_be_read_for_an_hour_is_waited_for_no_longer_and_that_is_said(feed: Feed) -> None:
    other = Feed(START - timedelta(days=10), OTHER)
    other.complete(minutes(5))
    fire(feed)
    feed.complete(minutes(65))
    evaluate(minutes(65))
    assert (only_alert().status, only_alert().left_out_accounts) == ("firing", [])
    evaluate(minutes(65.1))
    assert (only_alert().status, only_alert().left_out_accounts) == ("resolved", [OTHER])


def test_an_account_that_was_never_read_holds_back_no_other_and_that_is_said(feed: Feed) -> None:
    other = Feed(START - timedelta(days=10), OTHER)
    set_streams(other, "call", "message", "error", complete_until=None, last_success_at=None)
    with session_scope() as session:
        session.execute(update(Account).where(Account.sid == OTHER).values(started_at=minutes(5)))
    fire(feed)
    evaluate(minutes(20))
    assert (only_alert().status, only_alert().left_out_accounts) == ("resolved", [OTHER])


def test_an_only_account_that_was_never_read_is_waited_for(database: str) -> None:
    feed = Feed(START - timedelta(days=10))
    set_streams(feed, "call", "message", "error", complete_until=None, last_success_at=None)
    fire(feed)
    evaluate(minutes(20))
    assert only_alert().status == "firing"
