"""What begins while a firing waits in a bundle holds it: a silence, an acknowledgement, an alert that explains it."""

from collections.abc import Callable
from uuid import UUID

import pytest

from app.config import get_settings
from app.database import session_scope
from app.models import Delivery
from app.services.alerts import manual, silences
from app.services.alerts.withholding import withheld
from app.services.outbox import actions, bundle, overdue
from tests.fakes import minutes
from tests.feeding import Feed, evaluate
from tests.integration.alerts.stories import (
    fail_at,
    make_action,
    make_rule,
    notification_times,
    only_alert,
    silence,
)

Begin = Callable[[UUID], Callable[[float], object]]
"""Lets something begin that withholds the alert of a rule; the answer ends it, at a minute."""


def begin_silence(rule_id: UUID) -> Callable[[float], object]:
    silence_id = silence(1.5, 10_000, rule_id)

    def end(at: float) -> None:
        with session_scope() as session:
            silences.delete(session, silence_id)

    return end


def begin_acknowledgement(rule_id: UUID) -> Callable[[float], object]:
    alert_id = only_alert().id
    with session_scope() as session:
        manual.acknowledge(session, alert_id, "ann", None, get_settings(), minutes(1.5))

    def end(at: float) -> None:
        with session_scope() as session:
            manual.unacknowledge(session, alert_id, get_settings(), minutes(at))

    return end


@pytest.fixture
def feed(database: str) -> Feed:
    feed = Feed(minutes(-10_000))
    feed.complete(minutes(0))
    return feed


@pytest.fixture
def rule_id(feed: Feed) -> UUID:
    make_action(bundle_seconds=60)
    return make_rule(resolve_after_minutes=60, renotify_minutes=None, cooldown_minutes=0)


def release(at: float) -> None:
    with session_scope() as session:
        bundle.release_due(session, get_settings(), withheld, minutes(at))


def deliveries() -> list[tuple[str, str | None, bool]]:
    """What there is of deliveries: status, what holds it, whether it waits in a bundle."""
    with session_scope() as session:
        rows = session.query(Delivery).order_by(Delivery.number)
        return [(row.status, row.held_by, row.bundle_until is not None) for row in rows]


@pytest.mark.parametrize(("begin", "held_by"), [(begin_silence, "silence"), (begin_acknowledgement, "acknowledgement")])
def test_a_firing_that_waits_is_held_and_sent_again_when_that_ends(
    feed: Feed, rule_id: UUID, begin: Begin, held_by: str
) -> None:
    fail_at(feed, 1)
    end = begin(rule_id)
    release(2)
    assert deliveries() == [("pending", held_by, True)]
    end(5)
    evaluate(minutes(5))
    assert deliveries() == [("pending", None, True)]
    assert notification_times() == [("firing", 5)]
    release(5.9)
    assert deliveries() == [("pending", None, True)]
    release(6)
    assert deliveries() == [("pending", None, False)]


@pytest.mark.parametrize("begin", [begin_silence, begin_acknowledgement])
def test_a_held_firing_whose_alert_resolves_notifies_nobody(feed: Feed, rule_id: UUID, begin: Begin) -> None:
    fail_at(feed, 1)
    begin(rule_id)
    release(2)
    with session_scope() as session:
        manual.resolve(session, only_alert().id, "ann", None, get_settings(), minutes(5))
    assert deliveries() == []


def test_an_acknowledgement_that_ran_out_holds_nothing(feed: Feed, rule_id: UUID) -> None:
    fail_at(feed, 1)
    with session_scope() as session:
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(1.2), minutes(1.9))
    release(2)
    assert deliveries() == [("pending", None, False)]


def test_an_alert_that_another_explains_is_held(feed: Feed, database: str) -> None:
    make_action(bundle_seconds=60)
    lasting = {"resolve_after_minutes": 60, "renotify_minutes": None}
    cause = make_rule(name="Cause", pattern_value="failed", **lasting)
    make_rule(name="Dependent", depends_on=[str(cause)], **lasting)
    fail_at(feed, 1)
    fail_at(feed, 1.5, status="failed")
    release(2)
    assert deliveries() == [("pending", "dependency", True), ("pending", None, False)]


def test_others_of_the_bundle_are_sent(feed: Feed, rule_id: UUID) -> None:
    other = {"pattern_value": "failed", "resolve_after_minutes": 60}
    make_rule(name="First", **other)
    make_rule(name="Second", **other)
    fail_at(feed, 1)
    fail_at(feed, 1.2, status="failed")
    silence(1.5, 100, rule_id)
    release(2)
    assert sorted(deliveries(), key=str) == [
        ("folded", None, False),
        ("folded", None, False),
        ("pending", "silence", True),
        ("pending", None, False),
    ]


def test_updates_of_what_is_held_wait_for_its_firing(feed: Feed, database: str) -> None:
    make_action(bundle_seconds=60)
    rule_id = make_rule(resolve_after_minutes=60, renotify_minutes=1)
    fail_at(feed, 1)
    end = begin_silence(rule_id)
    release(2)
    fail_at(feed, 4)
    end(5)
    evaluate(minutes(5))
    assert notification_times() == [("firing", 5)]


def test_held_firings_are_not_overdue_and_fail_with_their_action(feed: Feed, rule_id: UUID) -> None:
    fail_at(feed, 1)
    begin_silence(rule_id)
    release(2)
    with session_scope() as session:
        assert overdue.overdue(session, minutes(500), minutes(2) - minutes(0)) == (0, None)
        [action] = actions.list_actions(session, None, 10).items
        actions.patch(session, action.id, {"enabled": False}, get_settings(), minutes(500))
    assert deliveries() == [("failed", None, False)]
