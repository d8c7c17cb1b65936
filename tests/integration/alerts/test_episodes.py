"""Episodes from their first match to their last word: cooldowns, logs that come late, and rules that are edited."""

from typing import Any

import pytest

from app.config import get_settings
from app.database import session_scope
from app.services.alerts import manual
from tests.fakes import minutes
from tests.feeding import Feed, evaluate, log
from tests.integration.alerts.stories import (
    alerts,
    change_rule,
    fail_at,
    make_rule,
    notification_times,
    only_alert,
    pass_time,
)

pytestmark = pytest.mark.usefixtures("action")


def test_a_new_firing_is_recorded_at_once_and_waits_from_the_last_notified_firing(feed: Feed) -> None:
    make_rule(resolve_after_minutes=2, cooldown_minutes=10)
    fail_at(feed, 1)
    pass_time(feed, 3)
    fail_at(feed, 4, 6, 8, 10, 11)
    assert [(each.started_at, each.status) for each in alerts()] == [
        (minutes(1), "resolved"),
        (minutes(4), "firing"),
    ]
    assert notification_times()[2:] == [("firing", 11)]
    pass_time(feed, 13)
    fail_at(feed, 15, 17, 19, 20)
    assert notification_times()[3:] == [("resolved", 13)]
    fail_at(feed, 21)
    assert notification_times()[4:] == [("firing", 21)]


def test_without_a_cooldown_every_firing_is_notified_at_once(feed: Feed) -> None:
    make_rule(resolve_after_minutes=2, cooldown_minutes=0)
    for minute in (1, 4):
        fail_at(feed, minute)
        pass_time(feed, minute + 2)
    assert notification_times() == [("firing", 1), ("resolved", 3), ("firing", 4), ("resolved", 6)]


def test_an_alert_acknowledged_during_its_cooldown_notifies_nobody(feed: Feed) -> None:
    make_rule(resolve_after_minutes=2, cooldown_minutes=10)
    fail_at(feed, 1)
    pass_time(feed, 3)
    fail_at(feed, 4)
    with session_scope() as session:
        manual.acknowledge(session, alerts()[1].id, "ann", None, get_settings(), minutes(5))
    evaluate(minutes(11))
    pass_time(feed, 20)
    assert notification_times() == [("firing", 1), ("resolved", 3)]


def test_a_late_log_moves_the_start_back_and_notifies_nobody_again(feed: Feed) -> None:
    make_rule(resolve_after_minutes=60, renotify_minutes=30)
    fail_at(feed, 20)
    fail_at(feed, 5, arriving=21)
    assert (only_alert().started_at, only_alert().last_match_at) == (minutes(5), minutes(20))
    assert (only_alert().occurrences, only_alert().late) == (2, False)
    evaluate(minutes(49))
    assert notification_times() == [("firing", 20)]
    evaluate(minutes(50))
    assert notification_times() == [("firing", 20), ("update", 50)]


@pytest.mark.parametrize("condition", [{"type": "each"}, {"type": "threshold", "count": 2, "window_minutes": 5}])
def test_a_late_log_within_the_span_of_what_is_over_opens_an_alert_of_its_own(
    feed: Feed, condition: dict[str, Any]
) -> None:
    make_rule(resolve_after_minutes=10, condition=condition, cooldown_minutes=10)
    feed.store([log(1, minutes(1)), log(2, minutes(2))], minutes(2))
    evaluate(minutes(2))
    pass_time(feed, 12)
    fail_at(feed, 3, arriving=20)
    pass_time(feed, 21)
    first, second = alerts()
    assert (first.occurrences, first.resolved_at) == (2, minutes(12))
    assert (second.started_at, second.resolve_reason) == (minutes(3), "quiet")
    assert notification_times() == [("firing", 2), ("resolved", 12), ("firing", 20), ("resolved", 21)]


def test_a_late_alert_notifies_as_firing_at_a_recent_match_and_then_as_any_other(feed: Feed) -> None:
    make_rule(resolve_after_minutes=1440, renotify_minutes=10)
    fail_at(feed, 1, arriving=1500)
    assert (only_alert().late, notification_times()) == (True, [])
    evaluate(minutes(1520))
    assert notification_times() == []
    fail_at(feed, 1400, arriving=1521)
    fail_at(feed, 1401, arriving=1522)
    fail_at(feed, 1402, arriving=1531)
    assert only_alert().occurrences == 4
    pass_time(feed, 2842)
    assert notification_times() == [("firing", 1521), ("update", 1531), ("resolved", 2842)]


def test_a_late_alert_that_resolves_notifies_nobody(feed: Feed) -> None:
    make_rule(resolve_after_minutes=10)
    fail_at(feed, 1, arriving=1500)
    pass_time(feed, 1501)
    assert (only_alert().late, only_alert().resolve_reason) == (True, "quiet")
    assert notification_times() == []


def test_late_is_measured_to_the_moment_of_recording(feed: Feed) -> None:
    make_rule(group_by=["from"])
    for sender, arriving in (("+14155550101", 1441), ("+14155550102", 1441.1)):
        fail_at(feed, 1, arriving=arriving, from_=sender, sid=f"SM{sender[1:]:0>32}")
    assert [each.late for each in alerts()] == [False, True]


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ([{"enabled": False}, {"enabled": True}], "rule_disabled"),
        ([{"pattern_value": "undelivered,failed"}], "rule_changed"),
    ],
)
def test_an_alert_in_its_cooldown_never_notifies_once_its_rule_restarts(
    feed: Feed, edits: list[dict[str, Any]], reason: str
) -> None:
    rule_id = make_rule(resolve_after_minutes=2, cooldown_minutes=10)
    fail_at(feed, 1)
    pass_time(feed, 3)
    fail_at(feed, 4)
    for edit in edits:
        change_rule(rule_id, 5, **edit)
    evaluate(minutes(12))
    assert notification_times() == [("firing", 1), ("resolved", 3)]
    fail_at(feed, 4.5, arriving=13)
    assert len(alerts()) == 2
    fail_at(feed, 14)
    assert [(each.started_at, each.resolve_reason) for each in alerts()[1:]] == [
        (minutes(4), reason),
        (minutes(14), None),
    ]
    assert notification_times()[2:] == [("firing", 14)]


def test_an_open_alert_goes_by_what_its_rule_says_since_of_telling_and_ending(feed: Feed) -> None:
    rule_id = make_rule(renotify_minutes=600, resolve_after_minutes=600)
    fail_at(feed, 1, 2)
    change_rule(rule_id, renotify_minutes=10, severity="critical", name="Another")
    evaluate(minutes(11))
    assert notification_times() == [("firing", 1), ("update", 11)]
    fail_at(feed, 12)
    change_rule(rule_id, renotify_minutes=None)
    evaluate(minutes(30))
    change_rule(rule_id, renotify_minutes=5, resolve_after_minutes=40)
    evaluate(minutes(31))
    pass_time(feed, 52)
    assert notification_times()[2:] == [("update", 31), ("resolved", 52)]
    assert only_alert().resolve_reason == "quiet"


@pytest.mark.parametrize(("cooldown", "told_then"), [(5, 6), (30, 31)])
def test_an_edited_cooldown_applies_to_waiting_alerts(feed: Feed, cooldown: int, told_then: float) -> None:
    rule_id = make_rule(resolve_after_minutes=2, cooldown_minutes=10)
    fail_at(feed, 1)
    pass_time(feed, 3)
    fail_at(feed, 4)
    change_rule(rule_id, cooldown_minutes=cooldown)
    for minute in (5, 6, 10, 11, 30, 31):
        evaluate(minutes(minute))
    assert notification_times()[2:] == [("firing", told_then)]


def test_changes_before_their_account_was_added_never_alert(database: str) -> None:
    make_rule()
    feed = Feed(minutes(5.5))
    fail_at(feed, 4, 5, arriving=6)
    assert alerts() == []
    fail_at(feed, 5.5)
    assert [each.occurrences for each in alerts()] == [1]
