"""Rules that name families and faults follow the catalogue of codes, also where another process replaces it."""

import os
from datetime import timedelta

import pytest

from app.database import session_scope
from app.services.evaluation.rule_set import read_rule_set
from app.services.twilio import error_codes
from tests.fakes import START
from tests.feeding import Feed
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
