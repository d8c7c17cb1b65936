"""When an alert is told: each sentence of the contract as a case, and what holds for all of them."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enums import AlertStatus, NotificationType
from app.services.alerts.notification_policy import Decision, NotifyInput, decide, may_escalate
from tests.fakes import START

FIRING, UPDATE, RESOLVED = NotificationType.FIRING, NotificationType.UPDATE, NotificationType.RESOLVED


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


NEW = NotifyInput(
    status=AlertStatus.FIRING,
    occurrences=1,
    last_match_at=at(0),
    late=False,
    silenced=False,
    firing_notified_at=None,
    notified_at=None,
    notified_occurrences=0,
    previous_firing_at=None,
    renotify=timedelta(minutes=60),
    cooldown=timedelta(minutes=10),
    max_age=timedelta(hours=24),
)
NOTIFIED = replace(NEW, firing_notified_at=at(0), notified_at=at(0), notified_occurrences=1)
NEW_MATCHES = replace(NOTIFIED, occurrences=2)
RESOLVED_ALERT = replace(NOTIFIED, status=AlertStatus.RESOLVED)
ACKNOWLEDGED = AlertStatus.ACKNOWLEDGED


@pytest.mark.parametrize(
    ("standing", "minutes", "decision"),
    [
        pytest.param(NEW, 0, Decision(FIRING), id="one when it fires"),
        pytest.param(NOTIFIED, 600, Decision(None), id="no update without new occurrences"),
        pytest.param(NEW_MATCHES, 59, Decision(None, at(60)), id="no update before renotify_minutes"),
        pytest.param(NEW_MATCHES, 60, Decision(UPDATE), id="an update after renotify_minutes"),
        pytest.param(replace(NEW_MATCHES, renotify=None), 600, Decision(None), id="null: no updates"),
        pytest.param(
            replace(NEW_MATCHES, status=ACKNOWLEDGED), 600, Decision(None), id="no update once somebody took it"
        ),
        pytest.param(replace(NEW, status=ACKNOWLEDGED), 600, Decision(None), id="nor its firing"),
        pytest.param(
            replace(NEW_MATCHES, status=ACKNOWLEDGED, acknowledged_until=at(90)),
            60,
            Decision(None, at(90)),
            id="an acknowledgement that ends is looked at then",
        ),
        pytest.param(replace(NEW, silenced=True), 0, Decision(None), id="a silence holds the firing back"),
        pytest.param(replace(NEW_MATCHES, silenced=True), 600, Decision(None), id="and the update"),
        pytest.param(replace(RESOLVED_ALERT, silenced=True), 5, Decision(RESOLVED), id="but not the end"),
        pytest.param(
            replace(RESOLVED_ALERT, firing_notified_at=None), 5, Decision(None), id="no end of what was not told"
        ),
        pytest.param(replace(NEW, previous_firing_at=at(-4)), 0, Decision(None, at(6)), id="it waits for the cooldown"),
        pytest.param(replace(NEW, previous_firing_at=at(-4)), 6, Decision(FIRING), id="and is told then"),
        pytest.param(
            replace(NEW, previous_firing_at=at(0), cooldown=timedelta(0)), 0, Decision(FIRING), id="no cooldown"
        ),
        pytest.param(replace(NEW, late=True), 24 * 60 + 1, Decision(None), id="what is late is told to nobody"),
        pytest.param(
            replace(NEW, late=True, last_match_at=at(60)), 24 * 60 + 1, Decision(FIRING), id="but with fresh matches"
        ),
    ],
)
def test_an_alert_notifies_as_documented(standing: NotifyInput, minutes: float, decision: Decision) -> None:
    decided = decide(standing, at(minutes))
    assert (decided.notify, decided.recheck_at) == (decision.notify, decision.recheck_at)


spans = st.integers(0, 3000).map(lambda minutes: timedelta(minutes=minutes))
moments = st.integers(-3000, 3000).map(at)
inputs = st.builds(
    NotifyInput,
    status=st.sampled_from(AlertStatus),
    occurrences=st.integers(1, 9),
    last_match_at=moments,
    late=st.booleans(),
    silenced=st.booleans(),
    firing_notified_at=st.none() | moments,
    notified_at=st.none() | moments,
    notified_occurrences=st.integers(0, 9),
    previous_firing_at=st.none() | moments,
    renotify=st.none() | spans,
    cooldown=spans,
    max_age=spans,
)


@given(inputs, moments)
def test_a_notification_that_waits_for_a_time_is_sent_at_that_time(standing: NotifyInput, now: datetime) -> None:
    decision = decide(standing, now)
    if decision.recheck_at is not None:
        assert decision.notify is None
        assert decision.recheck_at > now
        assert decide(standing, decision.recheck_at).notify is not None or standing.late


@given(inputs, moments)
def test_a_firing_is_notified_once_and_nothing_is_sent_before_it(standing: NotifyInput, now: datetime) -> None:
    told = decide(standing, now).notify
    assert (told == FIRING) <= (standing.firing_notified_at is None)
    assert (told in (UPDATE, RESOLVED)) <= (standing.firing_notified_at is not None)
    assert (told == RESOLVED) <= (standing.status == AlertStatus.RESOLVED)


WAITING = replace(NOTIFIED, escalates_from=at(0))
ESCALATES_FROM = [
    pytest.param(NEW, 5, at(5), id="it begins when the firing is told"),
    pytest.param(WAITING, 5, at(0), id="and stays"),
    pytest.param(replace(NEW, silenced=True), 5, None, id="not while a silence holds the firing"),
    pytest.param(replace(NEW, previous_firing_at=at(0)), 5, None, id="nor while it waits for the cooldown"),
    pytest.param(replace(WAITING, silenced=True), 5, None, id="a silence ends the wait"),
    pytest.param(replace(WAITING, suppressed=True), 5, None, id="so does another alert that explains it"),
    pytest.param(replace(WAITING, escalates_from=None), 5, at(5), id="then it begins anew"),
    pytest.param(replace(WAITING, status=ACKNOWLEDGED), 5, at(0), id="an acknowledgement does not move it"),
]


@pytest.mark.parametrize(("standing", "minutes", "began"), ESCALATES_FROM)
def test_actions_that_escalate_wait_from_the_firing_on(
    standing: NotifyInput, minutes: float, began: datetime | None
) -> None:
    assert decide(standing, at(minutes)).escalates_from == began


@pytest.mark.parametrize(
    ("standing", "may"),
    [
        pytest.param(WAITING, True, id="nobody has acknowledged it"),
        pytest.param(replace(WAITING, status=ACKNOWLEDGED), False, id="somebody has"),
        pytest.param(replace(WAITING, status=AlertStatus.RESOLVED), False, id="it is over"),
        pytest.param(replace(WAITING, silenced=True), False, id="a silence holds it"),
        pytest.param(replace(WAITING, suppressed=True), False, id="another alert explains it"),
        pytest.param(replace(WAITING, escalates_from=None), False, id="the wait begins only now"),
        pytest.param(NEW, False, id="it fires only now"),
    ],
)
def test_an_alert_escalates_while_it_fires_and_nobody_acknowledged_it(standing: NotifyInput, may: bool) -> None:
    assert may_escalate(standing, decide(standing, at(30)), at(30)) is may
