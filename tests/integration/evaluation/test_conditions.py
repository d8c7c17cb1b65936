"""Each condition over real rows: what is stored, evaluated and complete makes the alerts that it should."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from app.config import get_settings
from app.database import session_scope
from app.models import Alert, Log, Rule
from app.services import retention
from app.services.alerts import manual
from app.services.evaluation import due_minutes, minute_evaluator, pipeline
from app.services.evaluation.completeness import load_completeness
from app.services.logs import alert_logs
from tests.conftest import forget
from tests.fakes import minutes
from tests.feeding import Feed, evaluate, log
from tests.integration.alerts import stories


def make_rule(condition: dict[str, Any], **fields: Any) -> str:
    return str(stories.make_rule(**{"pattern_value": "undelivered,failed", "condition": condition} | fields))


def alerts() -> list[Alert]:
    with session_scope() as session:
        query = select(Alert).where(Alert.rule_id.is_not(None)).order_by(Alert.started_at, Alert.number)
        found = list(session.scalars(query))
        session.expunge_all()
        return found


def notification_types() -> list[tuple[datetime, datetime | None, int, str | None]]:
    return [(each.started_at, each.resolved_at, each.occurrences, each.resolve_reason) for each in alerts()]


def logs_of(alert: Alert) -> list[int]:
    """List the logs that count towards an alert, by the numbers that they were made with."""
    with session_scope() as session:
        return sorted(int(row.sid[-8:], 16) for row in alert_logs.logs_of_alert(session, alert.id, None, 1000).items)


def alerts_of(sid: str) -> list[UUID]:
    with session_scope() as session:
        log_id = session.scalar(select(Log.id).where(Log.sid == sid))
        assert log_id is not None
        return [alert.id for alert in alert_logs.alerts_of_log(session, log_id)]


def resolve_by_hand(now: datetime) -> None:
    with session_scope() as session:
        manual.resolve(session, alerts()[-1].id, "bob", None, get_settings(), now)


def test_each_fires_at_once_and_resolves_after_quiet(feed: Feed) -> None:
    make_rule({"type": "each"}, resolve_after_minutes=60)
    feed.store([log(1, minutes(1)), log(2, minutes(30))], minutes(31))
    evaluate(minutes(31))
    assert notification_types() == [(minutes(1), None, 2, None)]
    feed.complete(minutes(89))
    evaluate(minutes(120))
    assert notification_types() == [(minutes(1), None, 2, None)]
    feed.complete(minutes(90))
    evaluate(minutes(120))
    assert notification_types() == [(minutes(1), minutes(90), 2, "quiet")]


def test_a_match_beyond_the_quiet_time_waits_for_completeness(feed: Feed) -> None:
    make_rule({"type": "each"}, resolve_after_minutes=60)
    feed.store([log(1, minutes(1)), log(2, minutes(100))], minutes(101))
    evaluate(minutes(101))
    assert notification_types() == [(minutes(1), None, 1, None)]
    feed.store([log(3, minutes(50))], minutes(102))
    evaluate(minutes(102))
    assert notification_types() == [(minutes(1), None, 3, None)]


def test_threshold_counts_within_a_window_that_ends_at_a_match(feed: Feed) -> None:
    make_rule({"type": "threshold", "count": 3, "window_minutes": 5}, resolve_after_minutes=10)
    feed.store([log(1, minutes(1)), log(2, minutes(6)), log(3, minutes(7))], minutes(8))
    evaluate(minutes(8))
    assert notification_types() == []
    feed.store([log(4, minutes(5))], minutes(9))
    evaluate(minutes(9))
    assert notification_types() == [(minutes(7), None, 3, None)]
    feed.complete(minutes(17))
    evaluate(minutes(17))
    assert notification_types() == [(minutes(7), minutes(17), 3, "quiet")]


def test_ratio_of_final_logs_fires_and_clears(feed: Feed) -> None:
    make_rule({"type": "ratio", "percent": 50, "window_minutes": 10, "min_total": 4, "settle_minutes": 5})
    bad = [log(number, minutes(3)) for number in range(3)]
    good = [log(number, minutes(4), status="delivered", error_code=None) for number in range(3, 6)]
    going = [log(9, minutes(4), status="sent", error_code=None, final=False)]
    feed.store([*bad, *good, *going], minutes(5))
    feed.complete(minutes(14))
    evaluate(minutes(14))
    assert notification_types() == []
    feed.complete(minutes(15))
    evaluate(minutes(15))
    assert notification_types() == [(minutes(15), None, 3, None)]
    assert alerts()[0].value == 50.0
    feed.store([log(9, minutes(4), status="delivered", error_code=None, changed_at=minutes(15))], minutes(15.5))
    feed.complete(minutes(16))
    evaluate(minutes(16))
    assert notification_types() == [(minutes(15), minutes(16), 3, "cleared")]


def test_a_minute_that_another_evaluator_has_judged_meanwhile_is_not_judged_again(feed: Feed) -> None:
    make_rule({"type": "ratio", "percent": 50, "window_minutes": 10, "min_total": 1, "settle_minutes": 0})
    feed.store([log(number, minutes(10)) for number in range(3)], minutes(10))
    feed.complete(minutes(10))
    pipeline.evaluate_changes(get_settings(), 60)
    with pipeline._evaluation(minutes(10)) as (session, rules):
        completeness = load_completeness(session, get_settings(), minutes(10))
        due = due_minutes.next_minute(session, rules.rules, completeness, minutes(10))
    assert due is not None
    for _ in range(2):
        with pipeline._evaluation(minutes(10)) as (session, rules):
            minute_evaluator.judge_minute(session, rules, due, get_settings(), minutes(10))
    assert notification_types() == [(minutes(10), None, 3, None)]


def test_a_ratio_with_a_lower_limit_continues_between_the_two(feed: Feed) -> None:
    lower = {"resolve_percent": 30}
    make_rule({"type": "ratio", "percent": 50, "window_minutes": 10, "min_total": 2, "settle_minutes": 0} | lower)
    good = {"status": "delivered", "error_code": None}
    feed.store([log(1, minutes(4)), log(2, minutes(5), **good), log(3, minutes(11), **good)], minutes(14))
    for minute in range(10, 15):
        feed.complete(minutes(minute))
        evaluate(minutes(minute))
    # 50% at minute 10, 33% from minute 11 on, and nothing when log 1 leaves the window.
    assert [row[:2] for row in notification_types()] == [(minutes(10), minutes(14))]


def test_a_manually_resolved_ratio_waits_for_the_lower_limit(feed: Feed) -> None:
    lower = {"resolve_percent": 30}
    make_rule({"type": "ratio", "percent": 50, "window_minutes": 10, "min_total": 2, "settle_minutes": 0} | lower)
    good = {"status": "delivered", "error_code": None}
    feed.store([log(1, minutes(4)), log(2, minutes(5), **good)], minutes(10))
    feed.complete(minutes(10))
    evaluate(minutes(10))
    resolve_by_hand(minutes(10))
    # 33%, then 50% again: it was not below 30%.
    feed.store([log(3, minutes(11), **good), log(4, minutes(12))], minutes(12))
    for minute in range(11, 13):
        feed.complete(minutes(minute))
        evaluate(minutes(minute))
    assert [row[:2] for row in notification_types()] == [(minutes(10), minutes(10))]


def test_an_alert_counts_the_window_that_fired_whatever_an_earlier_alert_counted(feed: Feed) -> None:
    make_rule({"type": "ratio", "percent": 50, "window_minutes": 10, "min_total": 2, "settle_minutes": 0})
    good = {"status": "delivered", "error_code": None}
    feed.store(
        [log(1, minutes(4)), log(2, minutes(5), **good), log(3, minutes(10.5), **good), log(4, minutes(11.5))],
        minutes(12),
    )
    for minute in range(10, 13):
        feed.complete(minutes(minute))
        evaluate(minutes(minute))
    assert notification_types() == [(minutes(10), minutes(11), 1, "cleared"), (minutes(12), None, 2, None)]
    assert len(alerts()[1].sample_sids) == 2
    assert [logs_of(alert) for alert in alerts()] == [[1], [1, 4]]
    assert alerts_of(log(1, minutes(4)).sid) == [alert.id for alert in reversed(alerts())]


def test_the_logs_of_an_alert_are_all_that_count_though_an_earlier_one_counted_some(feed: Feed) -> None:
    make_rule({"type": "threshold", "count": 3, "window_minutes": 5})
    feed.store([log(number, minutes(number)) for number in (1, 2, 3)], minutes(3))
    evaluate(minutes(3))
    resolve_by_hand(minutes(4))
    feed.store([log(5, minutes(5))], minutes(5))
    evaluate(minutes(5))
    assert [alert.occurrences for alert in alerts()] == [3, 4]
    assert [logs_of(alert) for alert in alerts()] == [[1, 2, 3], [1, 2, 3, 5]]


def test_ratio_with_too_few_logs_is_resolved_after_two_windows(feed: Feed) -> None:
    make_rule({"type": "ratio", "percent": 50, "window_minutes": 10, "min_total": 4, "settle_minutes": 0})
    feed.store([log(number, minutes(3)) for number in range(4)], minutes(5))
    for minute in range(10, 34):
        feed.complete(minutes(minute))
        evaluate(minutes(minute))
    assert notification_types() == [(minutes(10), minutes(33), 4, "insufficient_data")]


def test_no_data_misses_what_does_not_come_only_where_all_was_read(feed: Feed) -> None:
    make_rule({"type": "no_data", "window_minutes": 10, "min_count": 1}, pattern_type="any", pattern_value=None)
    feed.store([log(1, minutes(5))], minutes(5))
    evaluate(minutes(60))
    assert notification_types() == []
    feed.complete(minutes(14))
    evaluate(minutes(60))
    assert notification_types() == []
    feed.complete(minutes(15))
    evaluate(minutes(60))
    assert notification_types() == [(minutes(15), None, 0, None)]
    feed.store([log(2, minutes(20))], minutes(20))
    feed.complete(minutes(20))
    evaluate(minutes(60))
    assert notification_types() == [(minutes(15), minutes(20), 1, "cleared")]


def test_no_data_misses_groups_that_were_seen_before_the_rule(feed: Feed) -> None:
    feed.store([log(1, minutes(-60)), log(2, minutes(-50), to_country="FR")], minutes(0))
    evaluate(minutes(0))
    make_rule(
        {"type": "no_data", "window_minutes": 10, "min_count": 1},
        pattern_type="any",
        pattern_value=None,
        group_by=["to_country"],
    )
    feed.store([log(3, minutes(5))], minutes(6))
    feed.complete(minutes(10))
    evaluate(minutes(11))
    assert [(each.group, each.started_at) for each in alerts()] == [({"to_country": "FR"}, minutes(10))]


def test_no_data_that_makes_up_for_minutes_misses_no_group_before_it_came(feed: Feed) -> None:
    condition = {"type": "no_data", "window_minutes": 10, "min_count": 1}
    make_rule(condition, pattern_type="any", pattern_value=None, group_by=["to_country"])
    feed.store([log(1, minutes(1)), log(2, minutes(45), to_country="FR")], minutes(60))
    feed.complete(minutes(60))
    evaluate(minutes(60))
    assert [(each.group["to_country"], each.started_at) for each in alerts()] == [
        ("GB", minutes(11)),
        ("FR", minutes(55)),
    ]


def test_spike_against_the_median_of_the_windows_before(feed: Feed) -> None:
    number = iter(range(1000))
    history = [log(next(number), minutes(-5 - 10 * window)) for window in range(4) for _ in range(2)]
    feed.store(history, minutes(0))
    evaluate(minutes(0))
    feed.complete(minutes(0), since=minutes(-100))
    make_rule({"type": "spike", "factor": 3, "window_minutes": 10, "baseline_windows": 4, "min_count": 5})
    feed.store([log(next(number), minutes(5)) for _ in range(6)], minutes(6))
    feed.complete(minutes(10))
    evaluate(minutes(10))
    assert notification_types() == [(minutes(10), None, 6, None)]
    assert (alerts()[0].value, alerts()[0].baseline) == (3.0, 2.0)
    feed.complete(minutes(15))
    evaluate(minutes(15))
    assert notification_types() == [(minutes(10), minutes(15), 6, "cleared")]


def test_a_spike_that_became_the_new_normal_stays_quiet_until_it_was_over(feed: Feed) -> None:
    """The baseline may take much longer than a day to follow: until then it would fire again at once."""
    number = iter(range(1000))
    feed.store([log(next(number), minutes(-30 - 60 * window)) for window in range(100)], minutes(0))
    evaluate(minutes(0))
    feed.complete(minutes(0), since=minutes(-6_000))
    make_rule({"type": "spike", "factor": 3, "window_minutes": 60, "baseline_windows": 100, "min_count": 5})
    for hour in range(26):
        feed.store([log(next(number), minutes(60 * hour + 30)) for _ in range(9)], minutes(60 * hour + 31))
    feed.complete(minutes(60))
    evaluate(minutes(60))
    with session_scope() as session:
        session.execute(update(Rule).values(judged_until=minutes(60 + 1_437)))  # a day, judged minute by minute
    feed.complete(minutes(60 + 1_445))
    evaluate(minutes(60 + 1_445))
    assert [(each.started_at, each.resolve_reason) for each in alerts()] == [(minutes(60), "new_normal")]
    feed.complete(minutes(60 * 28))
    evaluate(minutes(60 * 28))
    feed.store([log(next(number), minutes(60 * 28 + 5)) for _ in range(9)], minutes(60 * 28 + 6))
    feed.complete(minutes(60 * 28 + 6))
    evaluate(minutes(60 * 28 + 6))
    assert [each.started_at for each in alerts()] == [minutes(60), minutes(60 * 28 + 5)]


def test_a_baseline_longer_than_logs_are_kept_is_that_of_the_windows_that_the_rule_has_counted(
    feed: Feed, environment: pytest.MonkeyPatch
) -> None:
    """What was dropped before the rule was made is not known; what is dropped later stays counted."""
    environment.setenv("RETENTION_DAYS", "1")
    forget()
    number = iter(range(1000))
    feed.store([log(next(number), minutes(-60 - 120 * window)) for window in range(12) for _ in range(2)], minutes(0))
    evaluate(minutes(0))
    feed.complete(minutes(0), since=minutes(-14_400))
    environment.setenv("RETENTION_DAYS", "90")  # such a rule is refused today; one that was stored before goes on
    forget()
    make_rule({"type": "spike", "factor": 3, "window_minutes": 120, "baseline_windows": 26, "min_count": 5})
    environment.setenv("RETENTION_DAYS", "1")
    forget()
    feed.store([log(next(number), minutes(60)) for _ in range(2)], minutes(60))
    feed.store([log(next(number), minutes(150)) for _ in range(6)], minutes(150))
    feed.complete(minutes(200))
    evaluate(minutes(200))
    assert alerts() == []  # Twelve of 26 windows are known.
    retention.clean(get_settings(), minutes(1440))
    feed.complete(minutes(240))
    evaluate(minutes(240))
    assert [(each.started_at, each.baseline, each.value) for each in alerts()] == [(minutes(240), 2.0, 3.0)]


def test_new_value_learns_silently_what_is_stored_when_the_rule_is_made(feed: Feed) -> None:
    feed.store([log(1, minutes(-60))], minutes(-59))
    evaluate(minutes(-59))
    make_rule({"type": "new_value", "field": "error_code", "lookback_days": 30}, resolve_after_minutes=30)
    feed.store([log(2, minutes(1)), log(3, minutes(2), error_code=30007), log(4, minutes(3))], minutes(4))
    evaluate(minutes(4))
    assert notification_types() == [(minutes(2), None, 2, None)]
    feed.complete(minutes(33))
    evaluate(minutes(33))
    feed.store([log(5, minutes(40), error_code=30007)], minutes(41))
    evaluate(minutes(41))
    assert notification_types() == [(minutes(2), minutes(33), 2, "quiet")]


def test_a_pending_new_value_is_not_new_once_an_earlier_match_arrives(feed: Feed) -> None:
    make_rule({"type": "new_value", "field": "error_code", "lookback_days": 30}, resolve_after_minutes=10)
    feed.store([log(1, minutes(1)), log(2, minutes(60), error_code=30007)], minutes(61))
    evaluate(minutes(61))
    feed.store([log(3, minutes(5), error_code=30007)], minutes(62))
    feed.complete(minutes(100))
    evaluate(minutes(100))
    assert notification_types() == [(minutes(1), minutes(15), 2, "quiet")]


def test_a_value_that_comes_between_two_runs_of_it_is_judged_by_the_run_before_it(feed: Feed) -> None:
    make_rule({"type": "new_value", "field": "error_code", "lookback_days": 1}, resolve_after_minutes=10)
    days = 24 * 60
    feed.store([log(1, minutes(1)), log(2, minutes(3 * days))], minutes(3 * days))
    evaluate(minutes(3 * days))
    feed.store([log(3, minutes(days / 2))], minutes(3 * days))
    feed.complete(minutes(4 * days))
    evaluate(minutes(4 * days))
    assert [each[0] for each in notification_types()] == [minutes(1), minutes(3 * days)]


def test_a_match_that_opened_nothing_joins_the_episode_of_a_late_match(feed: Feed) -> None:
    schedule = {"timezone": "UTC", "days": ["mon"], "start": "00:00", "end": "06:20"}
    make_rule({"type": "each"}, resolve_after_minutes=30, schedule=schedule)
    feed.store([log(1, minutes(20))], minutes(21))
    evaluate(minutes(21))
    assert notification_types() == []
    feed.store([log(2, minutes(2))], minutes(22))
    feed.complete(minutes(60))
    evaluate(minutes(60))
    assert notification_types() == [(minutes(2), minutes(50), 2, "quiet")]


def test_stuck_logs_are_those_read_again_and_not_final(feed: Feed) -> None:
    make_rule({"type": "stuck", "older_than_minutes": 30, "min_count": 2}, pattern_type="any", pattern_value=None)
    waiting = [log(number, minutes(1), status="queued", error_code=None, final=False) for number in (1, 2)]
    feed.store(waiting, minutes(2))
    feed.complete(minutes(32))
    evaluate(minutes(32))
    assert notification_types() == []
    later = [
        log(number, minutes(1), status="queued", error_code=None, final=False, content_hash=number) for number in (1, 2)
    ]
    feed.store(later, minutes(33))
    feed.complete(minutes(34))
    evaluate(minutes(34))
    assert notification_types() == [(minutes(33), None, 2, None)]
    feed.store([log(1, minutes(1), status="delivered", error_code=None, changed_at=minutes(35))], minutes(35))
    feed.complete(minutes(36))
    evaluate(minutes(36))
    assert [each.resolve_reason for each in alerts()] == ["cleared"]


def test_sum_reaches_its_limit_when_prices_come_later(feed: Feed) -> None:
    make_rule(
        {"type": "sum", "field": "price", "at_least": 1, "window_minutes": 10}, pattern_type="any", pattern_value=None
    )
    unpriced = [log(number, minutes(3), price=None) for number in range(4)]
    feed.store(unpriced, minutes(4))
    feed.complete(minutes(60))
    evaluate(minutes(60))
    assert notification_types() == []
    priced = [log(number, minutes(3), price=Decimal("-0.30"), content_hash=number) for number in range(4)]
    feed.store(priced, minutes(60))
    feed.complete(minutes(61))
    evaluate(minutes(61))
    feed.complete(minutes(63))
    evaluate(minutes(63))
    assert notification_types() == [(minutes(61), minutes(62), 4, "cleared")]
