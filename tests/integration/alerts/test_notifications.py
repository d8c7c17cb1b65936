"""What is told of an alert, when, and to whom: over real rows, with the clock in the test's hands."""

import json
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.errors import Conflict
from app.models import Alert, Delivery
from app.services import rule_admin
from app.services.alerts import manual, silences
from app.services.alerts.recurrence import Validity
from app.services.outbox import actions
from tests.conftest import forget
from tests.fakes import minutes
from tests.feeding import Feed, evaluate, log
from tests.integration.alerts.stories import ACTION, change_rule, make_action, make_rule, notifications, only_alert


def test_an_alert_is_notified_when_it_fires_once_in_a_while_and_when_it_resolves(feed: Feed) -> None:
    make_action()
    make_rule(renotify_minutes=30, resolve_after_minutes=40)
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    for minute in range(2, 60):
        feed.store([log(minute, minutes(minute))], minutes(minute))
        evaluate(minutes(minute))
    feed.complete(minutes(99))
    evaluate(minutes(99))
    expected = [("firing", 1), ("update", 31), ("resolved", 99)]
    assert notifications() == [(kind, minutes(minute)) for kind, minute in expected]


def test_an_update_with_nothing_new_is_not_sent(feed: Feed) -> None:
    make_action()
    make_rule(renotify_minutes=30, resolve_after_minutes=120)
    feed.store([log(1, minutes(1))], minutes(1))
    for minute in (1, 31, 61):
        evaluate(minutes(minute))
    assert [kind for kind, _ in notifications()] == ["firing"]


def test_an_acknowledged_alert_sends_nothing_until_it_resolves(feed: Feed) -> None:
    make_action()
    make_rule(renotify_minutes=10, resolve_after_minutes=60)
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    with session_scope() as session:
        manual.acknowledge(session, only_alert().id, "ann", "looking", get_settings(), minutes(2))
    feed.store([log(2, minutes(30))], minutes(30))
    evaluate(minutes(30))
    assert (only_alert().status, only_alert().acknowledged_by, only_alert().occurrences) == ("acknowledged", "ann", 2)
    feed.complete(minutes(90))
    evaluate(minutes(90))
    assert [kind for kind, _ in notifications()] == ["firing", "resolved"]


def test_an_alert_that_fires_again_within_the_cooldown_notifies_after_it(feed: Feed) -> None:
    make_action()
    make_rule(resolve_after_minutes=2, cooldown_minutes=10)
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    feed.complete(minutes(3))
    evaluate(minutes(3))
    feed.store([log(2, minutes(4))], minutes(4))
    evaluate(minutes(4))
    evaluate(minutes(10))
    assert [kind for kind, _ in notifications()] == ["firing", "resolved"]
    evaluate(minutes(11))
    assert notifications()[2:] == [("firing", minutes(11))]


def test_an_alert_that_fires_and_resolves_within_the_cooldown_never_notifies(feed: Feed) -> None:
    make_action()
    make_rule(resolve_after_minutes=2, cooldown_minutes=10)
    for minute in (1, 4):
        feed.store([log(minute, minutes(minute))], minutes(minute))
        evaluate(minutes(minute))
        feed.complete(minutes(minute + 2))
        evaluate(minutes(minute + 2))
    evaluate(minutes(30))
    assert [kind for kind, _ in notifications()] == ["firing", "resolved"]


def test_a_firing_that_nobody_was_there_for_begins_no_cooldown(feed: Feed) -> None:
    make_rule(resolve_after_minutes=2, cooldown_minutes=10)
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    feed.complete(minutes(3))
    evaluate(minutes(3))
    assert only_alert().status == "resolved"
    make_action()
    feed.store([log(2, minutes(4))], minutes(4))
    evaluate(minutes(4))
    assert notifications() == [("firing", minutes(4))]


def test_an_alert_about_something_old_is_late_and_notifies_nobody_until_something_new_comes(feed: Feed) -> None:
    make_action()
    make_rule(resolve_after_minutes=1440)
    feed.store([log(1, minutes(1))], minutes(1500))
    evaluate(minutes(1500))
    assert (only_alert().late, notifications()) == (True, [])
    feed.store([log(2, minutes(1440))], minutes(1501))
    evaluate(minutes(1501))
    assert notifications() == [("firing", minutes(1501))]


def test_a_silence_holds_firing_and_update_until_it_ends(feed: Feed) -> None:
    make_action()
    rule_id = make_rule(resolve_after_minutes=600, group_by=["to_country"])
    with session_scope() as session:
        silence = silences.create(
            session, rule_id, {"to_country": "GB"}, Validity(minutes(0), minutes(60), None), "works", "ann", minutes(0)
        )
        silence_id = silence.id
    feed.store([log(1, minutes(1)), log(2, minutes(1), to_country="FR")], minutes(1))
    evaluate(minutes(1))
    with session_scope() as session:
        rows = {
            row.group["to_country"]: row for row in session.scalars(select(Alert).where(Alert.rule_id.is_not(None)))
        }
        silenced = silences.silenced_alerts(session, [silences.get(session, silence_id)], minutes(1))
        assert (rows["GB"].silenced, rows["FR"].silenced) == (True, False)
        assert silenced == {silence_id: [str(rows["GB"].id)]}
    assert len(notifications()) == 1
    evaluate(minutes(60))
    assert notifications()[1:] == [("firing", minutes(60))]


def test_an_alert_acknowledged_during_a_silence_does_not_notify_when_it_ends(feed: Feed) -> None:
    make_action()
    make_rule(resolve_after_minutes=600)
    with session_scope() as session:
        silences.create(session, None, {}, Validity(minutes(0), minutes(60), None), "works", "ann", minutes(0))
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    with session_scope() as session:
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(2))
    evaluate(minutes(60))
    assert not only_alert().silenced
    assert notifications() == []


def test_a_silence_that_begins_marks_what_fires_already_and_does_not_hold_its_end(feed: Feed) -> None:
    make_action()
    make_rule(resolve_after_minutes=10)
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    with session_scope() as session:
        silences.create(session, None, {}, Validity(minutes(2), minutes(600), None), "works", "ann", minutes(2))
    evaluate(minutes(3))
    assert only_alert().silenced
    feed.complete(minutes(11))
    evaluate(minutes(11))
    assert [kind for kind, _ in notifications()] == ["firing", "resolved"]


def test_an_action_that_wants_no_firing_gets_the_resolve(feed: Feed) -> None:
    make_action(notify_on=["resolved"])
    make_rule(resolve_after_minutes=10)
    feed.store([log(1, minutes(1))], minutes(1))
    feed.complete(minutes(1))
    evaluate(minutes(1))
    feed.complete(minutes(11))
    evaluate(minutes(11))
    assert [kind for kind, _ in notifications()] == ["resolved"]


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"min_severity": "critical"}, ["firing", "resolved"]),
        ({"rule_id": "another"}, ["firing", "resolved"]),
        ({"notify_on": ["firing"]}, ["firing"]),
        ({"enabled": False}, ["firing"]),
        ({"config": {"url": "https://hooks.example.com/moved"}}, ["firing", "resolved"]),
    ],
)
def test_receivers_of_the_firing_get_the_resolve_after_the_action_changes(
    feed: Feed, change: dict[str, Any], kinds: list[str]
) -> None:
    action_id = make_action()
    make_rule(resolve_after_minutes=10)
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    if "rule_id" in change:
        change = {"rule_id": str(make_rule(name="Another", pattern_value="failed"))}
    with session_scope() as session:
        actions.patch(session, action_id, change, get_settings(), minutes(2))
    feed.complete(minutes(11))
    evaluate(minutes(11))
    assert [kind for kind, _ in notifications()] == kinds


@pytest.mark.parametrize("notify_on", [["firing", "resolved"], ["resolved"]])
def test_an_action_created_after_the_firing_gets_no_resolve(feed: Feed, notify_on: list[str]) -> None:
    make_rule(resolve_after_minutes=10)
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    with session_scope() as session:
        actions.create(session, ACTION | {"notify_on": notify_on}, get_settings(), minutes(2))
    feed.complete(minutes(11))
    evaluate(minutes(11))
    assert notifications() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"enabled": False}, "rule_disabled"), ({"pattern_value": "failed"}, "rule_changed")],
)
def test_editing_the_meaning_of_a_rule_ends_its_alerts_and_says_so(
    feed: Feed, change: dict[str, Any], reason: str
) -> None:
    make_action()
    rule_id = make_rule()
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    change_rule(rule_id, **change)
    assert (only_alert().status, only_alert().resolve_reason) == ("resolved", reason)
    assert [kind for kind, _ in notifications()] == ["firing", "resolved"]


def test_editing_the_name_of_a_rule_ends_nothing(feed: Feed) -> None:
    rule_id = make_rule()
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    change_rule(rule_id, name="Another", severity="critical", resolve_after_minutes=5)
    assert only_alert().status == "firing"


def test_deleting_a_rule_keeps_its_alerts(feed: Feed) -> None:
    rule_id = make_rule()
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    with session_scope() as session:
        rule_admin.delete(session, rule_id, get_settings(), minutes(2))
    assert (only_alert().resolve_reason, only_alert().rule_name) == ("rule_deleted", "Rule")


def test_an_alert_resolved_manually_fires_again_with_the_next_match(feed: Feed) -> None:
    make_rule()
    feed.store([log(1, minutes(1))], minutes(1))
    evaluate(minutes(1))
    first = only_alert().id
    with session_scope() as session:
        ended = manual.resolve(session, first, "ann", None, get_settings(), minutes(2))
        assert (ended.status, ended.resolve_reason) == ("resolved", "manual")
    with session_scope() as session, pytest.raises(Conflict):
        manual.acknowledge(session, first, "ann", None, get_settings(), minutes(3))
    evaluate(minutes(3))
    assert only_alert().id == first
    feed.store([log(2, minutes(4))], minutes(4))
    evaluate(minutes(4))
    with session_scope() as session:
        open_alerts = session.scalars(select(Alert).where(Alert.status == "firing", Alert.rule_id.is_not(None))).all()
        assert [each.started_at for each in open_alerts] == [minutes(4)]


def test_a_condition_over_time_resolved_manually_fires_only_once_it_was_false(feed: Feed) -> None:
    make_rule(pattern_type="any", pattern_value=None, condition={"type": "no_data", "window_minutes": 5})

    def started() -> list[datetime]:
        with session_scope() as session:
            query = select(Alert.started_at).where(Alert.rule_id.is_not(None)).order_by(Alert.started_at)
            return list(session.scalars(query))

    feed.complete(minutes(5))
    evaluate(minutes(5))
    with session_scope() as session:
        manual.resolve(session, only_alert().id, "ann", None, get_settings(), minutes(5.5))
    feed.complete(minutes(8))
    evaluate(minutes(8))
    assert started() == [minutes(5)]
    feed.store([log(1, minutes(9))], minutes(9))
    feed.complete(minutes(13))
    evaluate(minutes(13))
    assert started() == [minutes(5)]
    feed.complete(minutes(14))
    evaluate(minutes(14))
    assert started() == [minutes(5), minutes(14)]


def test_an_account_that_cannot_be_read_opens_one_built_in_alert_that_a_good_poll_ends(feed: Feed) -> None:
    make_action()

    def built_in() -> list[tuple[str, str, dict[str, Any]]]:
        with session_scope() as session:
            rows = session.scalars(select(Alert).where(Alert.rule_id.is_(None)).order_by(Alert.number))
            return [(row.rule_name, row.status, row.group) for row in rows]

    feed.complete(minutes(0))
    evaluate(minutes(14))
    assert built_in() == []
    evaluate(minutes(16))
    evaluate(minutes(17))
    name, group = "GiftPulse cannot read Twilio", {"account_sid": "AC" + "0" * 32}
    assert built_in() == [(name, "firing", group)]
    feed.complete(minutes(18))
    evaluate(minutes(18))
    assert built_in() == [(name, "resolved", group)]
    with session_scope() as session:
        kinds = session.scalars(select(Delivery.type).order_by(Delivery.number)).all()
    assert kinds == ["alert.firing", "alert.resolved"]


def test_notifications_contain_texts_only_if_they_may_be_stored(feed: Feed, environment: pytest.MonkeyPatch) -> None:
    make_action()
    make_rule(resolve_after_minutes=40)
    feed.store([log(1, minutes(1), text="a word in private")], minutes(1))
    evaluate(minutes(1))
    environment.setenv("STORE_MESSAGE_BODIES", "false")
    forget()
    feed.complete(minutes(99))
    evaluate(minutes(99))
    with session_scope() as session:
        query = select(Delivery.content).where(Delivery.alert_id == only_alert().id).order_by(Delivery.number)
        told = [json.loads(content["body"]) for content in session.scalars(query)]
    assert [(each["type"], each["data"]["logs"][0]["text"]) for each in told] == [
        ("alert.firing", "a word in private"),
        ("alert.resolved", None),
    ]
