"""Notifications that the alerts of a preview would have sent."""

from datetime import timedelta

from app.services.preview.notifications import AlertTimes, count_notifications
from tests.fakes import START

DAY = timedelta(days=1)
BOTH = ["firing", "update", "resolved"]


def alert(start: float, end: float | None, group: str = "GB", *, silenced: bool = False) -> AlertTimes:
    ended = None if end is None else START + timedelta(minutes=end)
    return AlertTimes(group, START + timedelta(minutes=start), ended, silenced)


def count(alerts: list[AlertTimes], cooldown: float = 0, kinds: list[list[str]] | None = None) -> int:
    notify_on = [BOTH] if kinds is None else kinds
    return count_notifications(alerts, timedelta(minutes=cooldown), notify_on, START + DAY)


def test_a_resolved_alert_sends_two_notifications_and_an_open_one_sends_one() -> None:
    assert count([alert(0, 10)]) == 2
    assert count([alert(0, None)]) == 1


def test_each_action_gets_what_it_wants() -> None:
    assert count([alert(0, 10)], kinds=[["firing"], BOTH, ["update"]]) == 3
    assert count([alert(0, 10)], kinds=[]) == 0


def test_silenced_alerts_notify_nobody() -> None:
    assert count([alert(0, 10, silenced=True)]) == 0


def test_an_alert_in_the_cooldown_of_its_group_is_notified_only_if_it_outlasts_it() -> None:
    assert count([alert(0, 5), alert(10, 20)], cooldown=30) == 2
    assert count([alert(0, 5), alert(10, 40)], cooldown=30) == 4
    assert count([alert(0, 5), alert(10, 20, "US")], cooldown=30) == 4


def test_an_alert_that_ends_as_it_starts_is_notified() -> None:
    assert count([alert(0, 0)]) == 2
