"""Escalation: who is told later, and only of what nobody has acknowledged."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.errors import InvalidInput
from app.models import Alert, Delivery
from app.services.alerts import escalation, manual, silences
from app.services.alerts.recurrence import Validity
from app.services.outbox import actions
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate
from tests.integration.alerts.stories import fail_at, make_action, make_rule, only_alert, pass_time, silence


def told(action_id: UUID) -> list[tuple[str, float]]:
    """What an action was told, and at which minute."""
    with session_scope() as session:
        query = select(Delivery.type, Delivery.created_at).join(Alert, Alert.id == Delivery.alert_id)
        query = query.where(Delivery.action_id == action_id, Alert.rule_id.is_not(None))
        rows = session.execute(query.order_by(Delivery.number)).all()
    return [(kind.removeprefix("alert."), (at - START) / timedelta(minutes=1)) for kind, at in rows]


def story(*waits: int, **fields: Any) -> list[UUID]:
    """Make a rule, and an action for each of these waits."""
    rule_id = make_rule(resolve_after_minutes=600, **fields)
    return [make_action(rule_id=str(rule_id), after_minutes=wait) for wait in waits]


def change_action(action_id: UUID, **fields: Any) -> None:
    with session_scope() as session:
        actions.patch(session, action_id, fields, get_settings(), START)


def test_each_action_is_notified_after_its_wait_and_of_the_resolve(feed: Feed) -> None:
    first, second, third = story(0, 10, 30, renotify_minutes=None)
    fail_at(feed, 1)
    for minute in (10.5, 11, 12, 30.5):
        evaluate(minutes(minute))
    assert (told(first), told(second), told(third)) == ([("firing", 1)], [("firing", 11)], [])
    with session_scope() as session:
        manual.resolve(session, only_alert().id, "ann", None, get_settings(), minutes(31))
    evaluate(minutes(60))
    assert (told(first)[1:], told(second)[1:], told(third)) == ([("resolved", 31)], [("resolved", 31)], [])


def test_an_acknowledged_alert_does_not_escalate_until_the_acknowledgement_ends(feed: Feed) -> None:
    first, second = story(0, 10, renotify_minutes=None)
    fail_at(feed, 1)
    with session_scope() as session:
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(5), minutes(20))
    for minute in (11, 19.5):
        evaluate(minutes(minute))
    assert told(second) == []
    evaluate(minutes(20))
    assert (told(first), told(second)) == ([("firing", 1)], [("firing", 20)])


def test_an_acknowledgement_that_is_taken_back_continues_the_wait(feed: Feed) -> None:
    (second,) = story(10)
    fail_at(feed, 1)
    with session_scope() as session:
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(5))
    with session_scope() as session:
        manual.unacknowledge(session, only_alert().id, get_settings(), minutes(8))
    for minute in (8, 10.5, 11):
        evaluate(minutes(minute))
    assert told(second) == [("firing", 11)]


def test_an_alert_under_a_silence_starts_to_wait_when_the_silence_ends(feed: Feed) -> None:
    first, second = story(0, 10)
    silence(0, 20)
    fail_at(feed, 1)
    for minute in (11, 20, 29.5, 30):
        evaluate(minutes(minute))
    assert (told(first), told(second)) == ([("firing", 20)], [("firing", 30)])


def test_a_silence_that_begins_while_it_waits_restarts_the_wait(feed: Feed) -> None:
    first, second = story(0, 10)
    fail_at(feed, 1)
    with session_scope() as session:
        silences.create(session, None, {}, Validity(minutes(5), minutes(20), None), "works", "ann", minutes(5))
    for minute in (5, 11, 20, 29.5, 30):
        evaluate(minutes(minute))
    assert (told(first), told(second)) == ([("firing", 1)], [("firing", 30)])


def test_updates_reach_an_action_only_after_its_firing(feed: Feed) -> None:
    first, second = story(0, 10, renotify_minutes=5)
    for minute in (1, 6, 11, 16):
        fail_at(feed, minute)
    assert told(first) == [("firing", 1), ("update", 6), ("update", 11), ("update", 16)]
    assert told(second) == [("firing", 11), ("update", 16)]


def test_an_edited_wait_counts_at_once_and_nothing_is_sent_twice(feed: Feed) -> None:
    (action,) = story(60)
    fail_at(feed, 1)
    evaluate(minutes(10))
    change_action(action, after_minutes=5)
    for minute in (11, 12):
        evaluate(minutes(minute))
    change_action(action, after_minutes=20)
    evaluate(minutes(40))
    assert told(action) == [("firing", 11)]


def test_an_action_of_another_rule_or_severity_or_a_disabled_one_is_not_notified(feed: Feed) -> None:
    (action,) = story(10)
    other = make_action(rule_id=str(make_rule(pattern_value="failed")), after_minutes=10)
    severe, disabled = make_action(min_severity="critical", after_minutes=10), make_action(after_minutes=10)
    change_action(disabled, enabled=False)
    fail_at(feed, 1)
    evaluate(minutes(15))
    assert [told(each) for each in (action, other, severe, disabled)] == [[("firing", 15)], [], [], []]


def test_the_next_escalation_is_known(feed: Feed) -> None:
    first, second, third = story(0, 30, 10)
    fail_at(feed, 1)
    with session_scope() as session:
        waiting = escalation.list_next(session, only_alert(), get_settings())
    assert [(each.action_id, each.at) for each in waiting] == [(third, minutes(11)), (second, minutes(31))]
    assert {each.name for each in waiting} == {"the webhook action to hooks.example.com"}
    with session_scope() as session:
        body = session.scalars(select(Delivery.content).where(Delivery.action_id == first)).one()["body"]
    assert '"type":"alert.firing"' in body
    evaluate(minutes(11))
    with session_scope() as session:
        assert [each.action_id for each in escalation.list_next(session, only_alert(), get_settings())] == [second]
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(12))
    with session_scope() as session:
        assert list(escalation.list_next(session, only_alert(), get_settings())) == []
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(12), minutes(72))
    with session_scope() as session:
        (later,) = escalation.list_next(session, only_alert(), get_settings())
    assert (later.action_id, later.at) == (second, minutes(72))
    evaluate(minutes(71))
    assert told(second) == []
    evaluate(minutes(72))
    assert told(second) == [("firing", 72)]


def test_a_message_says_who_is_notified_next(feed: Feed) -> None:
    rule_id = str(make_rule())
    for wait in (10, 30):
        make_action(rule_id=rule_id, after_minutes=wait)
    make_action(rule_id=rule_id, action_type="email", config={"recipients": ["ops@example.com"]})
    fail_at(feed, 1)
    with session_scope() as session:
        mail = session.scalars(select(Delivery.content).where(Delivery.action_type == "email")).one()
    assert "the webhook action to hooks.example.com is notified at" in mail["text"]
    assert "then 1 more" in mail["text"]


def test_only_who_waited_reads_that_nobody_acknowledged_it(feed: Feed) -> None:
    for wait in (0, 10):
        make_action(action_type="email", config={"recipients": [f"{wait}@example.com"]}, after_minutes=wait)
    make_rule(renotify_minutes=None)
    fail_at(feed, 1)
    evaluate(minutes(11))
    with session_scope() as session:
        firing = Delivery.type == "alert.firing"
        rows = session.scalars(
            select(Delivery).join(Alert, Alert.id == Delivery.alert_id).where(firing, Alert.rule_id.is_not(None))
        )
        told = {row.recipient: "Not acknowledged after 10 minutes" in row.content["text"] for row in rows}
    assert told == {"0@example.com": False, "10@example.com": True}


def test_an_alert_that_resolves_before_its_escalation_never_notifies_it(feed: Feed) -> None:
    rule_id = make_rule(resolve_after_minutes=5)
    action = make_action(rule_id=str(rule_id), after_minutes=10)
    fail_at(feed, 1)
    pass_time(feed, 8)
    pass_time(feed, 20)
    assert told(action) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"after_minutes": -1}, "after_minutes"),
        ({"after_minutes": 1.5}, "after_minutes"),
        ({"after_minutes": 525_601}, "after_minutes"),
        ({"after_minutes": 5, "notify_on": ["resolved"]}, "notify_on"),
        ({"bundle_seconds": 5, "notify_on": ["update", "resolved"]}, "notify_on"),
        ({"bundle_seconds": 3601}, "bundle_seconds"),
        ({"bundle_seconds": "60"}, "bundle_seconds"),
    ],
)
def test_invalid_waits_are_refused(feed: Feed, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        make_action(**fields)
    assert [error.field for error in refused.value.errors] == [field]
