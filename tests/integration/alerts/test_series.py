"""The series of an alert is what its condition judged, from the stored logs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.models import Alert
from app.services import rule_admin
from app.services.findings.rule_of_alert import NoRule
from app.services.preview import alert_series, log_reader
from app.services.preview.alert_series import AlertSeries, SeriesPoint, read_series, series_json
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate, log
from tests.integration.alerts.stories import (
    change_rule,
    delete_rule,
    edit_rule,
    fail_at,
    make_rule,
    only_alert,
    pass_time,
)
from tests.integration.console.statements import count_statements
from tests.profiles import examples

THRESHOLD = {"type": "threshold", "count": 3, "window_minutes": 10}
_accounts = count(900_000)
_numbers = count(1)


@pytest.fixture
def feed(database: str) -> Feed:
    return Feed(START - timedelta(days=1))


def series_of(alert: Alert, now: float) -> AlertSeries:
    with session_scope() as session:
        return read_series(session, alert, get_settings(), minutes(now))


def by_minute(series: AlertSeries) -> dict[float, SeriesPoint]:
    """The points by the minute of their end: buckets are of one minute."""
    return {(point.at - START) / timedelta(minutes=1) + 1: point for point in series.points}


def test_it_goes_from_three_windows_before_the_alert_to_its_end(feed: Feed) -> None:
    make_rule(condition=THRESHOLD, resolve_after_minutes=10)
    fail_at(feed, 40, 41, 42, 43, 44)
    pass_time(feed, 60)
    found = by_minute(series_of(only_alert(), 90))
    assert (min(found), max(found)) == (13, 54)
    assert all(point.known for point in found.values())
    assert [found[at].value for at in (39, 40, 41, 42, 44, 49, 50, 51, 54)] == [0, 1, 2, 3, 5, 5, 4, 3, 0]
    assert [at for at, point in found.items() if point.firing] == list(range(43, 55))
    assert series_of(only_alert(), 90).limit == 3.0


def test_unread_minutes_are_unknown_and_those_before_the_rule_are_empty(feed: Feed) -> None:
    make_rule(condition=THRESHOLD)
    feed.store([log(1, minutes(-1))], minutes(0))
    fail_at(feed, 4, 5, 6)
    pass_time(feed, 8)
    fail_at(feed, 9)
    found = by_minute(series_of(only_alert(), 20))
    assert (min(found), max(found)) == (1, 20)
    assert [at for at, point in found.items() if point.known] == list(range(1, 9))
    assert (found[3].value, found[4].value) == (0, 1), "logs from before the rule do not count"
    assert (found[8].value, found[9].value, found[9].firing) == (3, 4, True), "matches count as they come"


def test_a_condition_over_time_has_no_value_where_not_all_was_read(feed: Feed) -> None:
    make_rule(condition={"type": "no_data", "window_minutes": 5})
    pass_time(feed, 8)
    found = by_minute(series_of(only_alert(), 10))
    assert [(at, point.value, point.known) for at, point in found.items() if at in (4, 5, 8, 9)] == [
        (4, None, False),
        (5, 0, True),
        (8, 0, True),
        (9, None, False),
    ]


def test_each_shows_its_matches(feed: Feed) -> None:
    make_rule(condition={"type": "each"}, resolve_after_minutes=10)
    fail_at(feed, 40, 41.5, 41.6)
    pass_time(feed, 45)
    series = series_of(only_alert(), 45)
    assert series.limit is None
    assert {at: point.value for at, point in by_minute(series).items() if point.value} == {40: 1, 42: 2}


@pytest.mark.parametrize(
    ("group_by", "others"),
    [
        (["from"], {"from_": "+2"}),
        (["error_code"], {"error_code": 30007}),
        (["messaging_service_sid", "error_code"], {"messaging_service_sid": "MG1"}),
    ],
)
def test_only_the_group_of_the_alert_counts(feed: Feed, group_by: list[str], others: dict[str, Any]) -> None:
    make_rule(condition=THRESHOLD, group_by=group_by)
    feed.store([log(900, minutes(40), **others), log(901, minutes(41), **others)], minutes(41))
    fail_at(feed, 40, 41, 42)
    pass_time(feed, 43)
    assert by_minute(series_of(only_alert(), 43))[42].value == 3


def test_why_there_is_no_series_is_said(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    rule_id = make_rule(condition=THRESHOLD)
    fail_at(feed, 40, 41, 42)
    alert = only_alert()
    with monkeypatch.context() as patch:
        patch.setattr(log_reader, "MAX_ROWS", 2)
        assert series_of(alert, 43).detail == alert_series.TOO_MANY
    change_rule(rule_id, at=43, description="only words")
    assert series_of(alert, 44).detail is None
    change_rule(rule_id, at=43, condition=THRESHOLD | {"count": 4})
    assert series_of(alert, 44) == AlertSeries(None, detail=alert_series.WITHOUT_RULE[NoRule.CHANGED])
    with session_scope() as session:
        rule_admin.delete(session, rule_id, get_settings(), minutes(45))
    assert series_of(alert, 46).detail == alert_series.WITHOUT_RULE[NoRule.DELETED]
    alert.rule_id = None
    assert series_of(alert, 46).detail == alert_series.WITHOUT_RULE[NoRule.BUILT_IN]


def test_an_alert_keeps_its_series_when_its_rule_is_edited_and_deleted(feed: Feed) -> None:
    rule_id = make_rule(condition=THRESHOLD, filters={"to_country": ["GB"]})
    edit_rule(rule_id, 20, filters={}, name="Another name")
    fail_at(feed, 40, 41, 42)
    pass_time(feed, 43)
    edit_rule(rule_id, 43, description="less noisy soon")
    before = series_of(only_alert(), 43)
    edit_rule(rule_id, 43, condition=THRESHOLD | {"count": 50}, severity="info")
    after = series_of(only_alert(), 60)
    assert (before.is_of_past_rule, after.is_of_past_rule) == (False, True)
    assert (after.limit, after.points) == (3.0, before.points)
    assert min(by_minute(after)) == 21, "the rule had restarted at 20"
    delete_rule(rule_id, 61)
    assert series_of(only_alert(), 62) == after


def test_an_alert_about_silence_keeps_its_series_too(feed: Feed) -> None:
    rule_id = make_rule(condition={"type": "no_data", "window_minutes": 5})
    pass_time(feed, 8)
    edit_rule(rule_id, 9, condition={"type": "no_data", "window_minutes": 60})
    series = series_of(only_alert(), 10)
    assert (series.is_of_past_rule, by_minute(series)[8].value) == (True, 0)


def test_minutes_before_an_account_was_added_are_known(feed: Feed) -> None:
    make_rule(condition=THRESHOLD)
    feed.complete(minutes(30), minutes(0))
    fail_at(feed, 40, 41, 42)
    Feed(minutes(60), sid="AC" + "b" * 32).complete(minutes(80), minutes(59))
    pass_time(feed, 80)
    found = by_minute(series_of(only_alert(), 80))
    assert all(found[at].known for at in range(13, 80))


def test_an_open_alert_says_which_account_it_waits_for(feed: Feed) -> None:
    make_rule(condition=THRESHOLD, resolve_after_minutes=10)
    stalled = Feed(START - timedelta(days=1), sid="AC" + "b" * 32)
    stalled.complete(minutes(43), START)
    feed.complete(minutes(30), START)
    fail_at(feed, 40, 41, 42)
    pass_time(feed, 50)
    assert series_of(only_alert(), 50).waits_for == [], "a few minutes are usual"
    pass_time(feed, 60)
    assert only_alert().status == "firing"
    (waits_for,) = series_json(series_of(only_alert(), 60))["waits_for"]
    assert (waits_for["account_sid"], waits_for["log_type"]) == ("AC" + "b" * 32, "message")
    assert datetime.fromisoformat(waits_for["complete_until"]) <= minutes(50)
    stalled.complete(minutes(61))
    pass_time(feed, 61)
    assert only_alert().status == "resolved"
    assert not series_of(only_alert(), 80).waits_for


def test_an_alert_of_all_other_groups_cannot_be_counted_again(feed: Feed) -> None:
    make_rule(condition=THRESHOLD, group_by=["to"])
    fail_at(feed, 40, 41, 42)
    alert = only_alert()
    alert.group = {"to": "__other__"}
    assert series_of(alert, 43).detail == alert_series.OTHER_GROUP


def test_it_costs_few_statements(feed: Feed) -> None:
    make_rule(condition=THRESHOLD)
    fail_at(feed, 40, 41, 42)
    alert = only_alert()
    with count_statements() as statements:
        assert series_of(alert, 43).points
    assert len(statements) <= 5, statements


def test_a_long_alert_has_at_most_200_points(feed: Feed) -> None:
    make_rule(condition={"type": "no_data", "window_minutes": 30}, pattern_value="delivered")
    feed.complete(minutes(60))
    evaluate(minutes(60))
    series = series_of(only_alert(), 60 * 24 * 300)
    assert 100 < len(series.points) <= 200
    assert series.points[-1].firing
    assert not series.points[-1].known


window = st.integers(1, 8)
conditions = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("ratio"),
            "percent": st.sampled_from((20, 50)),
            "window_minutes": window,
            "min_total": st.integers(1, 2),
            "settle_minutes": st.integers(0, 3),
        }
    ),
    st.fixed_dictionaries({"type": st.just("no_data"), "window_minutes": window, "min_count": st.integers(1, 2)}),
    st.fixed_dictionaries(
        {
            "type": st.just("spike"),
            "factor": st.just(2),
            "window_minutes": st.integers(1, 4),
            "baseline_windows": st.just(3),
            "min_count": st.integers(1, 2),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("sum"),
            "field": st.just("price"),
            "at_least": st.sampled_from((1, 3)),
            "window_minutes": window,
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("stuck"), "older_than_minutes": st.integers(1, 6), "min_count": st.integers(1, 2)}
    ),
)
logs = st.lists(
    st.tuples(
        st.integers(1, 29),
        st.sampled_from(("undelivered", "undelivered", "delivered", "queued")),
        st.sampled_from(("USD", "EUR", None)),
    ),
    max_size=25,
)


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@given(made=logs, condition=conditions, grouped=st.booleans())
@example(
    made=[(9, "undelivered", "EUR")],
    condition={"type": "no_data", "window_minutes": 2, "min_count": 1},
    grouped=False,
)  # The alert ends with a log of that very minute.
@settings(max_examples=examples(2), phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
def test_it_is_what_was_judged_at_each_minute(
    database: str, made: Sequence[tuple[int, str, str | None]], condition: dict[str, Any], grouped: bool
) -> None:
    sid = f"AC{next(_accounts):032x}"
    feed = Feed(START - timedelta(days=2), sid=sid)
    feed.complete(minutes(0), since=START - timedelta(days=2))
    rule_id = make_rule(
        condition=condition,
        pattern_value="queued" if condition["type"] == "stuck" else "undelivered",
        group_by=["account_sid"] if grouped else [],
        filters={"account_sid": [sid]},
    )
    prices = {"price": Decimal(-1)}
    records = [
        (at, log(next(_numbers), minutes(at), status=status, price_unit=unit, **prices)) for at, status, unit in made
    ]
    judged: dict[tuple[UUID, int], float | None] = {}
    for at in range(1, 31):
        feed.store([record for minute, record in records if minute == at], minutes(at))
        feed.complete(minutes(at))
        evaluate(minutes(at))
        judged |= {(alert.id, at): alert.value for alert in _alerts(rule_id) if _is_judged(alert, at)}
    for alert in _alerts(rule_id):
        found = by_minute(series_of(alert, 30))
        values = {float(at): value for (alert_id, at), value in judged.items() if alert_id == alert.id}
        measured = {at: point for at, point in found.items() if at in values}
        assert all(point.known and point.firing for at, point in measured.items() if alert.started_at < minutes(at))
        # An alert keeps its value where there is nothing to measure.
        assert {at: values[at] for at, point in measured.items() if point.value is not None} == {
            at: point.value for at, point in measured.items() if point.value is not None
        }
        assert measured
    with session_scope() as session:
        rule_admin.delete(session, rule_id, get_settings(), minutes(30))


def _alerts(rule_id: UUID) -> Sequence[Alert]:
    with session_scope() as session:
        found = session.scalars(select(Alert).where(Alert.rule_id == rule_id)).all()
        session.expunge_all()
    return found


def _is_judged(alert: Alert, at: int) -> bool:
    """A value is of this minute while the alert is open, and when it ends."""
    return alert.resolved_at is None or alert.resolved_at == minutes(at)
