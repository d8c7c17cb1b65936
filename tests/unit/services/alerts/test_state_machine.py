"""What each event does to an alert, and what none may do."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enums import AlertStatus, NotificationType, ResolveReason
from app.models import Alert
from app.services.alerts.state_machine import (
    MAX_SAMPLES,
    Acknowledge,
    AlreadyResolved,
    Count,
    Event,
    Extend,
    Fire,
    Measure,
    Notify,
    Resolve,
    Unacknowledge,
)
from tests.fakes import START

FIRING, ACKNOWLEDGED, RESOLVED = AlertStatus.FIRING, AlertStatus.ACKNOWLEDGED, AlertStatus.RESOLVED


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


FIRE = Fire(
    fingerprint="f",
    rule_id=None,
    rule_name="Calls fail",
    severity="critical",
    group={},
    group_key="{}",
    started_at=at(0),
    window_from=at(-5),
    recorded_at=at(0),
    late=False,
    summary="Calls fail",
)
EXTEND = Extend(at(-5), at(0), at(4), ["CA2", "CA1"], 30001, 2, [])
RESOLVE = Resolve(at(9), ResolveReason.QUIET)


def alert_after(*events: Event) -> Alert:
    alert = Alert(**FIRE.columns())
    for event in events:
        for name, value in event.transition(alert).items():
            setattr(alert, name, value)
    return alert


def test_an_alert_begins_firing_with_nothing_counted_and_nobody_notified() -> None:
    alert = alert_after()
    assert (alert.status, alert.occurrences, alert.last_match_at) == (FIRING, 0, at(0))
    assert (alert.firing_notified_at, alert.notify_at, alert.silenced) == (None, None, False)


def test_the_first_to_acknowledge_stays() -> None:
    alert = alert_after(Acknowledge(at(1), "Ann", "mine"), Acknowledge(at(2), "Bob", None))
    assert (alert.status, alert.acknowledged_at, alert.acknowledged_by, alert.note) == (
        ACKNOWLEDGED,
        at(1),
        "Ann",
        "mine",
    )


def test_acknowledging_again_moves_the_end_alone() -> None:
    for until in (at(120), None):
        alert = alert_after(Acknowledge(at(1), "Ann", "mine", at(61)), Acknowledge(at(2), "Bob", None, until))
        assert (alert.acknowledged_until, alert.notify_at) == (until, until)
        assert (alert.acknowledged_at, alert.acknowledged_by, alert.note) == (at(1), "Ann", "mine")


@pytest.mark.parametrize("event", [Acknowledge(at(10), "Ann", None), Unacknowledge(at(10)), RESOLVE])
def test_a_resolved_alert_is_over(event: Event) -> None:
    with pytest.raises(AlreadyResolved):
        event.transition(alert_after(RESOLVE))


def test_who_acknowledged_is_kept_when_somebody_else_resolves_and_a_new_note_replaces_the_old() -> None:
    by_hand = Resolve(at(9), ResolveReason.MANUAL, suppress=True, by="Bob", note="done")
    alert = alert_after(Acknowledge(at(1), "Ann", "mine"), by_hand)
    assert (alert.status, alert.acknowledged_by, alert.note) == (RESOLVED, "Ann", "done")
    assert (alert.resolved_at, alert.resolve_reason, alert.suppressed_until_clear) == (at(9), "manual", True)
    assert alert_after(Acknowledge(at(1), "Ann", "mine"), replace(by_hand, note=None)).note == "mine"


def test_an_acknowledgement_is_taken_back_with_all_it_said_but_the_note() -> None:
    alert = alert_after(Acknowledge(at(1), "Ann", "mine", at(61)))
    assert (alert.acknowledged_until, alert.notify_at) == (at(61), at(61))
    alert = alert_after(Acknowledge(at(1), "Ann", "mine", at(61)), Unacknowledge(at(2)))
    assert (alert.status, alert.notify_at, alert.note) == (FIRING, at(2), "mine")
    assert (alert.acknowledged_at, alert.acknowledged_by, alert.acknowledged_until) == (None, None, None)
    assert Unacknowledge(at(2)).transition(alert_after()) == {}


def test_nothing_is_rechecked_once_an_alert_resolves() -> None:
    assert alert_after(Notify(at(0), None, at(10), silenced=False), RESOLVE).notify_at is None


def test_a_later_episode_puts_its_logs_and_its_code_first_and_an_earlier_one_does_not() -> None:
    later = replace(EXTEND, last_match_at=at(8), newest_sids=["CA3"], newest_error_code=30002, count=1)
    alert = alert_after(EXTEND, later)
    assert (alert.occurrences, alert.value, alert.sample_sids, alert.error_code) == (
        3,
        3.0,
        ["CA3", "CA2", "CA1"],
        30002,
    )
    earlier = replace(later, last_match_at=at(4), window_from=at(-9))
    alert = alert_after(EXTEND, earlier)
    assert (alert.sample_sids, alert.error_code, alert.window_from) == (["CA2", "CA1", "CA3"], 30001, at(-9))


def test_an_episode_without_a_code_keeps_the_alerts_code() -> None:
    assert alert_after(EXTEND, replace(EXTEND, last_match_at=at(8), newest_error_code=None)).error_code == 30001


def test_matches_count_one_by_one_and_the_newest_are_named() -> None:
    alert = alert_after(*(Count(at(minute), f"CA{minute}", 30000 + minute) for minute in range(1, 8)))
    assert (alert.occurrences, alert.last_match_at, alert.error_code) == (7, at(7), 30007)
    assert alert.sample_sids == ["CA7", "CA6", "CA5", "CA4", "CA3"]
    assert alert_after(Count(at(1), "CA1", 30001), Count(at(2), "CA2", None)).error_code == 30001


def test_an_alert_without_a_measurement_keeps_its_value() -> None:
    alert = alert_after(Measure(7.5, None, []), Measure(None, at(3), ["AC1"]))
    assert (alert.value, alert.insufficient_since, alert.left_out_accounts) == (7.5, at(3), ["AC1"])


def test_a_notification_notes_what_it_said() -> None:
    alert = alert_after(EXTEND, Notify(at(5), NotificationType.FIRING, at(65), silenced=False))
    noted = (alert.firing_notified_at, alert.notified_at, alert.notified_occurrences, alert.notify_at)
    assert noted == (at(5), at(5), 2, at(65))
    alert = alert_after(EXTEND, Notify(at(5), None, None, silenced=True))
    assert (alert.silenced, alert.firing_notified_at, alert.notified_at) == (True, None, None)


events = st.lists(
    st.sampled_from(
        [
            EXTEND,
            Count(at(3), "CA9", None),
            Measure(1.0, None, []),
            Acknowledge(at(2), "Ann", None),
            Unacknowledge(at(2)),
            RESOLVE,
            Notify(at(5), NotificationType.FIRING, None, silenced=False),
        ]
    ),
    max_size=12,
)


@given(events)
def test_a_resolved_alert_stays_so_and_an_acknowledged_one_fires_only_if_that_is_taken_back(
    told: list[Event],
) -> None:
    order = [FIRING, ACKNOWLEDGED, RESOLVED]
    alert, before = alert_after(), 0
    for event in told:
        try:
            changed = event.transition(alert)
        except AlreadyResolved:
            assert alert.status == RESOLVED
            continue
        for name, value in changed.items():
            setattr(alert, name, value)
        now = order.index(AlertStatus(alert.status))
        assert now >= before or isinstance(event, Unacknowledge)
        assert (alert.acknowledged_at is None) or alert.status != FIRING
        assert (alert.resolved_at is not None) == (alert.status == RESOLVED)
        assert len(alert.sample_sids) <= MAX_SAMPLES
        before = now
