"""Rules that name families and faults follow the catalogue of codes, also where another process replaces it."""

import os
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from app.database import session_scope
from app.models import MinuteCount
from app.services.evaluation.rule_set import read_rule_set
from app.services.twilio import code_groups, error_codes
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate, log
from tests.integration.alerts.stories import alerts, fail_at, make_rule


@pytest.fixture
def feed(database: str) -> Feed:
    return Feed(START - timedelta(days=1))


def test_a_rule_by_family_alerts(feed: Feed) -> None:
    make_rule(pattern_type="error_code", pattern_value="family:messaging-filtering")
    fail_at(feed, 1, error_code=30003)
    assert alerts() == []
    fail_at(feed, 2, error_code=30007)
    (alert,) = alerts()
    assert (alert.error_code, alert.occurrences) == (30007, 1)


def mean(monkeypatch: pytest.MonkeyPatch, *codes: int) -> None:
    """Let every family consist of these codes, as with a new catalogue."""
    monkeypatch.setattr(code_groups, "ranges_of", lambda _: tuple((code, code) for code in codes))
    monkeypatch.setattr(error_codes._Loaded, "generation", error_codes.generation() + 1)


def counted() -> list[tuple[int, int]]:
    with session_scope() as session:
        rows = session.execute(select(MinuteCount.total, MinuteCount.matched).order_by(MinuteCount.minute))
        return [(row.total, row.matched) for row in rows]


def test_a_log_counts_as_its_code_was_understood_when_it_was_evaluated(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes later, such as a price, moves no count of before. What comes later counts anew."""
    mean(monkeypatch, 30003)
    make_rule(
        pattern_type="error_code",
        pattern_value="family:messaging-filtering",
        condition={"type": "ratio", "percent": 90, "window_minutes": 10, "min_total": 4, "settle_minutes": 0},
    )
    first = [log(number, minutes(1), error_code=30003 if number % 2 else 30005) for number in range(8)]
    feed.store(first, minutes(2))
    evaluate(minutes(2))
    assert counted() == [(8, 4)]
    for meant in ((30003, 30005), (30007,)):
        mean(monkeypatch, *meant)
        priced = [replace(each, price=Decimal(-meant[0]), content_hash=meant[0]) for each in first]
        feed.store(priced, minutes(3))
        evaluate(minutes(3))
        assert counted() == [(8, 4)]
    feed.store([log(number, minutes(5), error_code=30007) for number in range(10, 14)], minutes(6))
    evaluate(minutes(6))
    assert counted() == [(8, 4), (4, 4)]


@pytest.mark.usefixtures("feed")
def test_a_catalogue_that_was_replaced_compiles_the_rules_again() -> None:
    make_rule(pattern_type="error_code", pattern_value="fault:carrier")
    with session_scope() as session:
        before = read_rule_set(session)
        assert read_rule_set(session) is before
        written = error_codes.PACKAGED.stat().st_mtime_ns
        try:
            os.utime(error_codes.PACKAGED, ns=(written, written + 1_000_000_000))
            assert read_rule_set(session) is not before
        finally:
            os.utime(error_codes.PACKAGED, ns=(written, written))
