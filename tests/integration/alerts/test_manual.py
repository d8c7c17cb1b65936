"""What people do to alerts: take them, end them, while the evaluation goes on."""

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.config import get_settings
from app.database import session_scope
from app.errors import Conflict
from app.services.alerts import manual
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate, log
from tests.integration.alerts.stories import (
    alerts,
    change_rule,
    fail_at,
    make_action,
    make_rule,
    notification_times,
    only_alert,
    pass_time,
    silence,
)
from tests.kits.waiting import wait_until

ANY: dict[str, Any] = {"pattern_type": "any", "pattern_value": None}


@pytest.fixture
def feed(database: str) -> Feed:
    make_action()
    feed = Feed(START - timedelta(days=10))
    feed.complete(START, START - timedelta(days=10))
    return feed


def acknowledge(alert_id: UUID, at: float = 2) -> None:
    with session_scope() as session:
        manual.acknowledge(session, alert_id, "ann", None, get_settings(), minutes(at))


def resolve(alert_id: UUID, at: float = 2) -> None:
    with session_scope() as session:
        manual.resolve(session, alert_id, "ann", None, get_settings(), minutes(at))


def meanwhile(first: Callable[[Session], object], second: Callable[[], object]) -> BaseException | None:
    """Do one thing, and before its commit begin another that must wait for it; return what that raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            second()
        except Conflict as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    with session_scope() as session:
        first(session)
        thread.start()
        wait_until(_someone_waits, "the second waits for the first")
    thread.join()
    return raised[0] if raised else None


def _someone_waits() -> bool:
    with session_scope() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(session.scalar(text(query)))


def test_acknowledging_an_alert_that_is_being_resolved_is_a_conflict(feed: Feed) -> None:
    make_rule(resolve_after_minutes=10)
    fail_at(feed, 1)
    alert_id = only_alert().id
    refused = meanwhile(
        lambda session: manual.resolve(session, alert_id, "eve", None, get_settings(), minutes(2)),
        lambda: acknowledge(alert_id),
    )
    assert isinstance(refused, Conflict)
    assert (only_alert().status, only_alert().acknowledged_at) == ("resolved", None)
    assert notification_times() == [("firing", 1), ("resolved", 2)]


@pytest.mark.parametrize("last", ["ended by hand", "gone quiet"])
def test_an_alert_resolved_during_an_acknowledgement_keeps_who_acknowledged(feed: Feed, last: str) -> None:
    make_rule(resolve_after_minutes=10)
    fail_at(feed, 1)
    alert_id = only_alert().id
    feed.complete(minutes(11))
    ending = (lambda: resolve(alert_id, 11)) if last == "ended by hand" else (lambda: evaluate(minutes(11)))
    refused = meanwhile(
        lambda session: manual.acknowledge(session, alert_id, "bob", None, get_settings(), minutes(2)), ending
    )
    assert refused is None
    assert (only_alert().status, only_alert().acknowledged_by) == ("resolved", "bob")
    assert only_alert().acknowledged_at == minutes(2)
    assert notification_times() == [("firing", 1), ("resolved", 11)]


@pytest.mark.parametrize("act", [acknowledge, resolve])
def test_an_alert_that_goes_quiet_while_somebody_acts_on_it_is_over_once(
    feed: Feed, act: Callable[[UUID, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule(resolve_after_minutes=10)
    fail_at(feed, 1)
    alert_id = only_alert().id
    feed.complete(minutes(11))
    refused: list[BaseException] = []

    def act_late() -> None:
        try:
            act(alert_id, 12)
        except Conflict as error:
            refused.append(error)

    thread = threading.Thread(target=act_late)

    def before_commit(point: str) -> None:
        if point == "evaluate.between" and not thread.ident:
            thread.start()
            wait_until(_someone_waits, "the act waits for the evaluation")

    monkeypatch.setattr("app.services.alerts.changes.crashpoint", before_commit)
    evaluate(minutes(11))
    thread.join()
    assert len(refused) == 1
    assert (only_alert().resolve_reason, only_alert().acknowledged_by) == ("quiet", None)
    assert notification_times() == [("firing", 1), ("resolved", 11)]


def test_two_concurrent_resolves_resolve_once(feed: Feed) -> None:
    make_rule()
    fail_at(feed, 1)
    alert_id = only_alert().id
    refused = meanwhile(
        lambda session: manual.resolve(session, alert_id, "eve", None, get_settings(), minutes(2)),
        lambda: resolve(alert_id),
    )
    assert isinstance(refused, Conflict)
    assert notification_times() == [("firing", 1), ("resolved", 2)]


def test_a_match_during_an_acknowledgement_counts_and_the_alert_stays_acknowledged(feed: Feed) -> None:
    make_rule(renotify_minutes=1)
    fail_at(feed, 1)
    alert_id = only_alert().id
    refused = meanwhile(
        lambda session: manual.acknowledge(session, alert_id, "bob", None, get_settings(), minutes(2)),
        lambda: fail_at(feed, 5),
    )
    assert refused is None
    assert (only_alert().status, only_alert().occurrences) == ("acknowledged", 2)
    assert notification_times() == [("firing", 1)]


def bad(feed: Feed, at: float, number: int = 4) -> None:
    """Let messages fail: enough for every condition below."""
    logs = [log(int(at * 60) * 100 + each, minutes(at), segments=1, price=Decimal("-0.01")) for each in range(number)]
    feed.store(logs, minutes(at))


OVER_TIME: dict[str, dict[str, Any]] = {
    "ratio": {"percent": 50, "window_minutes": 2, "min_total": 1, "settle_minutes": 0},
    "spike": {"factor": 2, "window_minutes": 2, "baseline_windows": 2, "min_count": 3},
    "sum": {"field": "segments", "at_least": 3, "window_minutes": 2},
}


@pytest.mark.parametrize("kind", list(OVER_TIME))
def test_after_a_manual_resolve_a_condition_over_time_fires_only_once_it_was_false(feed: Feed, kind: str) -> None:
    make_rule(condition={"type": kind} | OVER_TIME[kind])

    def live(since: int, until: int, *, well: bool) -> None:
        for minute in range(since, until):
            if not well:
                bad(feed, minute - 0.5)
            elif kind == "ratio":
                feed.store([log(minute, minutes(minute - 0.5), status="delivered", error_code=None)], minutes(minute))
            pass_time(feed, minute)

    live(1, 4, well=False)
    resolve(only_alert().id, 3.5)
    live(4, 8, well=False)
    assert len(alerts()) == 1
    live(8, 13, well=True)
    assert len(alerts()) == 1
    live(13, 15, well=False)
    assert [each.status for each in alerts()] == ["resolved", "firing"]


def test_after_a_manual_resolve_stuck_fires_only_once_it_was_false(feed: Feed) -> None:
    make_rule(condition={"type": "stuck", "older_than_minutes": 5}, **ANY)
    waits = {"status": "queued", "error_code": None, "final": False}
    feed.store([log(1, minutes(1), **waits)], minutes(1))
    feed.store([log(1, minutes(1), content_hash=1, **waits)], minutes(7))
    pass_time(feed, 8)
    resolve(only_alert().id, 8.5)
    pass_time(feed, 10)
    assert len(alerts()) == 1
    feed.store([log(1, minutes(1), status="delivered", error_code=None, changed_at=minutes(10.5))], minutes(10.5))
    feed.store([log(2, minutes(11), **waits)], minutes(11))
    pass_time(feed, 12)
    feed.store([log(2, minutes(11), content_hash=2, **waits)], minutes(17))
    pass_time(feed, 18)
    assert [each.status for each in alerts()] == ["resolved", "firing"]


@pytest.mark.parametrize(
    "condition",
    [{"type": "threshold", "count": 2, "window_minutes": 5}, {"type": "new_value", "field": "error_code"}],
)
def test_after_a_manual_resolve_a_condition_on_matches_fires_with_the_next_match(
    feed: Feed, condition: dict[str, Any]
) -> None:
    make_rule(condition=condition)
    fail_at(feed, 1, 2)
    resolve(only_alert().id, 2.5)
    pass_time(feed, 3)
    assert len(alerts()) == 1
    fail_at(feed, 4, error_code=30005)
    assert [each.status for each in alerts()] == ["resolved", "firing"]


@pytest.mark.parametrize(
    "edits", [[{"condition": {"type": "no_data", "window_minutes": 3}}], [{"enabled": False}, {"enabled": True}]]
)
def test_a_restarted_rule_ignores_earlier_manual_resolves(feed: Feed, edits: list[dict[str, Any]]) -> None:
    rule_id = make_rule(condition={"type": "no_data", "window_minutes": 5}, **ANY)
    pass_time(feed, 5)
    resolve(only_alert().id, 5.5)
    for edit in edits:
        change_rule(rule_id, 6, **edit)
    pass_time(feed, 12)
    assert [each.status for each in alerts()] == ["resolved", "firing"]


def test_a_resolved_alert_shows_its_last_minute_beyond_the_limit(feed: Feed) -> None:
    """It ends for too few logs, or below a lower limit: what is told of it is why it fired, not why it ended."""
    ratio = {"type": "ratio", "percent": 50, "window_minutes": 10, "min_total": 2, "settle_minutes": 0}
    make_rule(condition=ratio | {"resolve_percent": 20})
    fail_at(feed, 12, 13)
    pass_time(feed, 14)
    told = only_alert().summary
    assert told == "100% of 2 messages undelivered in 10 minutes (limit 50%)"
    feed.store([log(each, minutes(15), status="delivered", error_code=None) for each in range(5)], minutes(15))
    pass_time(feed, 16)
    assert (only_alert().status, round(only_alert().value or 0)) == ("firing", 29)
    pass_time(feed, 60)
    assert (only_alert().status, only_alert().summary) == ("resolved", told)


def unacknowledge(alert_id: UUID, at: float) -> None:
    with session_scope() as session:
        manual.unacknowledge(session, alert_id, get_settings(), minutes(at))


def test_reminders_continue_once_an_acknowledgement_is_taken_back(feed: Feed) -> None:
    make_rule(renotify_minutes=30, resolve_after_minutes=600)
    fail_at(feed, 1)
    acknowledge(only_alert().id)
    fail_at(feed, 40)
    assert notification_times() == [("firing", 1)]
    unacknowledge(only_alert().id, 41)
    alert = only_alert()
    assert (alert.status, alert.acknowledged_at, alert.acknowledged_by) == ("firing", None, None)
    evaluate(minutes(42))
    assert notification_times() == [("firing", 1), ("update", 42)]


def test_an_alert_acknowledged_before_any_notification_notifies_once_unacknowledged(feed: Feed) -> None:
    make_rule(resolve_after_minutes=1, cooldown_minutes=60)
    fail_at(feed, 1)
    pass_time(feed, 5)
    fail_at(feed, 10)
    second = alerts()[-1].id
    acknowledge(second, 11)
    evaluate(minutes(62))
    assert notification_times() == [("firing", 1), ("resolved", 5)]
    unacknowledge(second, 63)
    evaluate(minutes(64))
    assert notification_times()[-1] == ("firing", 64)


def test_an_acknowledgement_for_a_while_ends_and_reminders_continue(feed: Feed) -> None:
    make_rule(renotify_minutes=10, resolve_after_minutes=600)
    fail_at(feed, 1)
    with session_scope() as session:
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(2), minutes(62))
    fail_at(feed, 30)
    evaluate(minutes(61))
    assert (only_alert().status, only_alert().acknowledged_until) == ("acknowledged", minutes(62))
    evaluate(minutes(62))
    assert (only_alert().status, only_alert().acknowledged_until) == ("firing", None)
    assert notification_times() == [("firing", 1), ("update", 62)]


def test_an_acknowledgement_for_a_while_is_extended_and_made_lasting(feed: Feed) -> None:
    make_rule(renotify_minutes=10, resolve_after_minutes=600)
    fail_at(feed, 1)
    for at, until in ((2, minutes(20)), (10, minutes(50)), (40, None)):
        with session_scope() as session:
            manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(at), until)
        fail_at(feed, at + 5)
        evaluate(minutes(at + 9.5))
        assert (only_alert().status, only_alert().acknowledged_until) == ("acknowledged", until)
    evaluate(minutes(300))
    assert only_alert().status == "acknowledged"
    assert notification_times() == [("firing", 1)]


def test_an_acknowledgement_for_a_while_ends_while_a_silence_holds(feed: Feed) -> None:
    make_rule(renotify_minutes=10, resolve_after_minutes=600)
    fail_at(feed, 1)
    with session_scope() as session:
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(2), minutes(20))
    silence(10, 40)
    fail_at(feed, 30)
    assert (only_alert().status, only_alert().silenced) == ("firing", True)
    evaluate(minutes(40))
    assert notification_times() == [("firing", 1), ("update", 40)]


def test_an_alert_that_resolves_during_a_timed_acknowledgement_stays_resolved(feed: Feed) -> None:
    make_rule(resolve_after_minutes=10)
    fail_at(feed, 1)
    with session_scope() as session:
        manual.acknowledge(session, only_alert().id, "ann", None, get_settings(), minutes(2), minutes(62))
    pass_time(feed, 12)
    evaluate(minutes(70))
    assert (only_alert().status, only_alert().acknowledged_by) == ("resolved", "ann")
    assert notification_times() == [("firing", 1), ("resolved", 12)]
