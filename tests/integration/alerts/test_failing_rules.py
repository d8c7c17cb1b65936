"""A rule that fails keeps the rest going, is told of, and loses nothing."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session

from app.config import get_settings
from app.database import session_scope
from app.models import Alert, Heartbeat, Stream
from app.services import health, rule_admin
from app.services.alerts.changes import AlertChanges
from app.services.evaluation import change_queue, match_evaluator, minute_evaluator, pipeline
from app.services.evaluation.window_queries import GroupId
from app.services.rules.conditions.no_data import NoData
from app.services.rules.conditions.numbers import Verdict
from app.services.rules.conditions.threshold import Threshold
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion
from tests.fakes import minutes
from tests.feeding import Feed, evaluate, log
from tests.integration.alerts import stories


def make_rule(condition: dict[str, Any], **fields: Any) -> UUID:
    body = {"name": f"Rule of {condition['type']}", "pattern_type": "any", "pattern_value": None}
    return stories.make_rule(**body | {"condition": condition} | fields)


def alerts() -> list[tuple[str, str]]:
    with session_scope() as session:
        return [(row.rule_name, row.status) for row in session.scalars(select(Alert).order_by(Alert.number))]


def last_error(rule_id: UUID) -> str | None:
    with session_scope() as session:
        return rule_admin.get(session, rule_id).last_error


def test_a_rule_that_fails_stops_no_other_and_its_matches_are_judged_once_it_works(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = make_rule({"type": "threshold", "count": 1, "window_minutes": 5})
    make_rule({"type": "each"})
    feed.complete(minutes(1))
    with monkeypatch.context() as broken:
        broken.setattr(Threshold, "opens", lambda *_: 1 / 0)
        feed.store([log(1, minutes(1), text="a secret body")], minutes(1))
        evaluate(minutes(1))
    assert alerts() == [("Rule of each", "firing"), ("Rule failing", "firing")]
    said = last_error(failing)
    assert said is not None
    assert "ZeroDivisionError" in said
    assert "secret" not in said
    evaluate(minutes(2))
    assert ("Rule of threshold", "firing") in alerts()
    feed.complete(minutes(17))
    evaluate(minutes(17))
    assert ("Rule failing", "resolved") in alerts()


def test_a_condition_over_time_that_fails_is_reported_and_stops_no_other(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_rule({"type": "no_data", "window_minutes": 5})
    make_rule({"type": "sum", "field": "segments", "at_least": 1, "window_minutes": 5})
    feed.store([log(1, minutes(2), segments=3)], minutes(2))
    feed.complete(minutes(7))
    monkeypatch.setattr(NoData, "judge", lambda *_: 1 / 0)
    evaluate(minutes(7))
    assert alerts() == [("Rule of sum", "resolved"), ("Rule failing", "firing")]


@pytest.mark.parametrize("opened_before", [False, True])
def test_matches_whose_judging_fails_half_way_count_once_and_are_notified_once_it_works(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, opened_before: bool
) -> None:
    make_rule({"type": "each"}, name="Each")
    feed.complete(minutes(1))
    if opened_before:
        feed.store([log(1, minutes(0.5))], minutes(0.5))
        evaluate(minutes(1))
    with monkeypatch.context() as broken:
        broken.setattr(AlertChanges, "decide_notification", lambda *_: 1 / 0)
        feed.store([log(2, minutes(1))], minutes(1))
        with suppress(ZeroDivisionError):  # that of the alert about the rule
            evaluate(minutes(1.2))
        with session_scope() as session:
            found = session.scalars(select(Alert).where(Alert.rule_name == "Each")).all()
            assert [alert.occurrences for alert in found] == [1] * opened_before
            assert session.scalars(text("SELECT alert_id FROM matches WHERE held")).all() == [None]
    evaluate(minutes(2))
    with session_scope() as session:
        alert = session.scalars(select(Alert).where(Alert.rule_name == "Each")).one()
        held = session.scalars(text("SELECT log_id FROM matches WHERE held")).all()
    assert (alert.occurrences, held) == (1 + opened_before, [])
    assert alert.firing_notified_at == minutes(1 if opened_before else 2)


def test_groups_judged_before_a_rule_fails_are_notified(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    make_rule(
        {"type": "sum", "field": "segments", "at_least": 1, "window_minutes": 5}, name="Sum", group_by=["to_country"]
    )
    judge_group = minute_evaluator.judge_group

    def fail_for_the_us(rule: Rule, group_id: GroupId, *values: Any) -> Verdict:
        if "US" in group_id[1]:
            raise ZeroDivisionError
        return judge_group(rule, group_id, *values)

    monkeypatch.setattr(minute_evaluator, "judge_group", fail_for_the_us)
    feed.store(
        [log(number, minutes(2), segments=3, to_country=country) for number, country in enumerate(("DE", "US"))],
        minutes(2),
    )
    feed.complete(minutes(7))
    evaluate(minutes(7))
    with session_scope() as session:
        alert = session.scalars(select(Alert).where(Alert.rule_name == "Sum")).one()
    assert alert.group == {"to_country": "DE"}
    assert alert.firing_notified_at is not None


def test_an_expression_that_fails_on_a_log_is_no_match_and_shows_in_the_health_of_the_rule(feed: Feed) -> None:
    rule_id = make_rule({"type": "each"}, pattern_type="expression", pattern_value="log.duration_seconds > 5")
    feed.complete(minutes(1))
    lengths = [None, 9, None, None]
    feed.store([log(n, minutes(1), duration_seconds=length) for n, length in enumerate(lengths, 1)], minutes(1))
    evaluate(minutes(1))
    assert alerts() == [("Rule of each", "firing")]
    with session_scope() as session:
        health = rule_admin.health(session, rule_admin.get(session, rule_id), get_settings())
    assert health["error_count"] == 3
    assert "no match" in health["last_error"]


def test_a_stream_that_cannot_be_evaluated_stops_no_other_and_is_reported(
    feed: Feed, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for log_type in ("message", "call"):
        make_rule({"type": "each"}, name=log_type, log_type=log_type)
    feed.store([log(1, minutes(1)), log(2, minutes(1), log_type="call")], minutes(1))
    first, second = sorted(["message", "call"], key=lambda log_type: feed.stream_ids[log_type])
    read_changes = change_queue.read_changes

    def read_or_fail(session: Session, batch_lock: change_queue.BatchLock) -> Sequence[LogVersion]:
        if batch_lock.stream_id == feed.stream_ids[first]:
            raise ZeroDivisionError
        return read_changes(session, batch_lock)

    with monkeypatch.context() as patch:
        patch.setattr(change_queue, "read_changes", read_or_fail)
        with pytest.raises(ZeroDivisionError):
            pipeline.evaluate_changes(get_settings(), 60)
        assert alerts() == [(second, "firing")]
        feed.complete(minutes(10))
        pipeline.evaluate_time(get_settings(), minutes(10), 60)
        assert len(alerts()) == 1
        feed.complete(minutes(12))
        pipeline.evaluate_time(get_settings(), minutes(12), 60)
        assert alerts()[1] == ("Evaluation is behind", "firing")
        with session_scope() as session:
            session.execute(insert(Heartbeat), [{"name": name, "seen_at": minutes(12)} for name in ("worker", "beat")])
        assert health.examine(get_settings(), minutes(12)).checks["workers"].detail.startswith("logs wait since")
    evaluate(minutes(13))
    assert alerts()[1:] == [("Evaluation is behind", "resolved"), (first, "firing")]


def test_a_step_of_the_evaluation_by_time_that_fails_stops_no_other(
    feed: Feed, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(match_evaluator, "evaluate_idle_groups", lambda *_: 1 / 0)
    with session_scope() as session:
        session.execute(update(Stream).values(failures=3, last_success_at=minutes(0)))
    with pytest.raises(ZeroDivisionError):
        pipeline.evaluate_time(get_settings(), minutes(1), 60)
    assert alerts() == [("GiftPulse cannot read Twilio", "firing")]
