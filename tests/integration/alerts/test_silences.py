"""Silences over the life of an alert: what is held back, until when, and what is told afterwards."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.database import session_scope
from app.errors import InvalidInput
from app.models import Silence
from app.services.alerts import silences
from app.services.alerts.recurrence import Validity
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate
from tests.integration.alerts.stories import (
    alerts,
    fail_at,
    make_action,
    make_rule,
    notification_times,
    only_alert,
    pass_time,
    silence,
)

pytestmark = pytest.mark.usefixtures("action")


@pytest.mark.parametrize(
    ("until", "deleted_at", "told_then"),
    [(8, None, 11), (20, None, 20), (20, 9, 11), (20, 15, 15)],
)
def test_an_alert_withheld_by_cooldown_and_silence_notifies_when_both_are_over(
    feed: Feed, until: float, deleted_at: float | None, told_then: float
) -> None:
    make_rule(resolve_after_minutes=2, cooldown_minutes=10, renotify_minutes=None)
    fail_at(feed, 1)
    pass_time(feed, 3)
    fail_at(feed, 4)
    held_by = silence(5, until)
    for minute in (5, 8, 9, 10, 11, 14, 15, 19, 20):
        if minute == deleted_at:
            with session_scope() as session:
                silences.delete(session, held_by)
        evaluate(minutes(minute))
    assert notification_times() == [("firing", 1), ("resolved", 3), ("firing", told_then)]


def test_a_silence_that_begins_later_holds_nothing_before_it_and_updates_within_it(feed: Feed) -> None:
    make_rule(resolve_after_minutes=600, renotify_minutes=5)
    with session_scope() as session:
        silences.create(session, None, {}, Validity(minutes(5), minutes(30), None), "works", "ann", minutes(0))
    for minute in (1, 4, 5, 10, 29, 30, 34, 35):
        fail_at(feed, minute)
        assert only_alert().silenced == (5 <= minute < 30)
    assert notification_times() == [("firing", 1), ("update", 30), ("update", 35)]


def test_of_two_silences_the_longer_one_decides(feed: Feed) -> None:
    make_rule(resolve_after_minutes=600)
    silence(0, 10)
    silence(5, 20)
    fail_at(feed, 1)
    for minute in (6, 10, 19, 20):
        evaluate(minutes(minute))
    assert notification_times() == [("firing", 20)]


def test_an_alert_that_fires_and_resolves_within_a_silence_notifies_nobody(feed: Feed) -> None:
    make_action(notify_on=["resolved"])
    make_rule(resolve_after_minutes=10)
    make_rule(pattern_type="any", pattern_value=None, condition={"type": "no_data", "window_minutes": 5})
    silence(0, 60)
    pass_time(feed, 5)
    fail_at(feed, 6)
    pass_time(feed, 7)
    pass_time(feed, 10)
    fail_at(feed, 10.5)
    pass_time(feed, 21)
    evaluate(minutes(60))
    assert [each.status for each in alerts() if each.resolve_reason == "quiet"] == ["resolved"]
    assert [each.status for each in alerts() if each.resolve_reason == "cleared"] == ["resolved"]
    assert [kind for kind, _ in notification_times() if kind == "resolved"] == []


@pytest.mark.parametrize(
    ("group", "of_a_rule", "is_held"),
    [
        ({}, None, True),
        ({"to_country": "GB"}, None, True),
        ({"to_country": "GB", "error_code": 30003}, None, True),
        ({"to_country": "GB", "error_code": 30004}, None, False),
        ({"error_code": "30003"}, None, False),
        ({"from": None}, None, True),
        ({"status": None}, None, False),
        ({}, "its own", True),
        ({"to_country": "FR"}, "its own", False),
        ({}, "another", False),
    ],
)
def test_a_silence_holds_the_groups_that_hold_all_its_pairs(
    group: dict[str, Any], of_a_rule: str | None, is_held: bool
) -> None:
    its_own = uuid4()
    rule_id = {"its own": its_own, "another": uuid4(), None: None}[of_a_rule]
    made = Silence(rule_id=rule_id, group=group)
    assert silences.is_silenced([made], its_own, {"to_country": "GB", "error_code": 30003, "from": None}) is is_held


def test_a_silence_that_repeats_holds_each_time_and_tells_in_between(feed: Feed) -> None:
    make_rule(resolve_after_minutes=3000, renotify_minutes=1)
    first = (START + timedelta(minutes=2)).strftime("%H:%M")
    last = (START + timedelta(minutes=10)).strftime("%H:%M")
    repeat = {"timezone": "UTC", "days": [], "start": first, "end": last}
    with session_scope() as session:
        silences.create(session, None, {}, Validity(minutes(0), None, repeat), "works", "ann", minutes(0))
    for minute in (1, 4, 9.5, 10, 24 * 60 + 1, 24 * 60 + 4):
        evaluate(minutes(minute))
        fail_at(feed, minute)
    day = 24 * 60
    assert notification_times() == [("firing", 1), ("update", 10), ("update", day + 1)]


BERLIN = {"timezone": "Europe/Berlin", "days": [], "start": "22:00", "end": "06:00"}


@pytest.mark.parametrize(
    ("ends_at", "repeat", "field"),
    [
        (None, None, "ends_at"),
        (minutes(-5), None, "ends_at"),
        (minutes(-5), BERLIN, "ends_at"),
        (minutes(1), BERLIN | {"start": "03:00", "end": "03:30"}, "repeat"),
    ],
)
def test_invalid_times_are_refused(
    feed: Feed, ends_at: datetime | None, repeat: dict[str, Any] | None, field: str
) -> None:
    with session_scope() as session, pytest.raises(InvalidInput) as refused:
        silences.create(session, None, {}, Validity(minutes(0), ends_at, repeat), "", "ann", minutes(0))
    assert [error.field for error in refused.value.errors] == [field]


def test_silences_that_repeat_cover_what_lies_within_them_without_a_break() -> None:
    def made(start: str, end: str) -> Silence:
        repeat = {"timezone": "UTC", "days": [], "start": start, "end": end}
        return Silence(rule_id=None, group={}, starts_at=START - timedelta(days=9), ends_at=None, repeat=repeat)

    midnight = START.replace(hour=0, minute=0, second=0, microsecond=0)
    night, day = made("22:00", "06:00"), made("06:00", "22:00")
    at = [midnight + timedelta(hours=hour) for hour in range(60)]
    assert silences.silenced_throughout([night], None, {}, at[23], at[29])
    assert not silences.silenced_throughout([night], None, {}, at[23], at[31])
    assert silences.silenced_throughout([night, day], None, {}, at[1], at[50])
