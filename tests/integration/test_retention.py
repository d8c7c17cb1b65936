"""What has outlived its keep-until goes, and nothing else."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count
from uuid import uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.config import get_settings
from app.database import session_scope
from app.models import Alert, AuditEntry, Delivery, Log, RuleGroup
from app.services import audit, retention, rule_admin
from app.services.alerts import search
from app.services.evaluation import minute_counts
from app.services.rules.rule import Rule
from tests.conftest import forget
from tests.factories import alert_row
from tests.fakes import START
from tests.feeding import ACCOUNT, Feed, evaluate, log


def stored() -> list[str]:
    with session_scope() as session:
        return list(session.scalars(select(Log.sid).order_by(Log.sid)))


def test_logs_older_than_the_retention_go_to_the_minute_with_their_history(database: str) -> None:
    feed = Feed(START - timedelta(days=200))
    ages = [140, 91, 89, 1]
    for number, days in enumerate(ages):
        feed.store([log(number, START - timedelta(days=days))], START - timedelta(days=days))
    evaluate(START)
    retention.clean(get_settings(), START)
    assert stored() == [log(2, START).sid, log(3, START).sid]
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM log_changes")) == 2
        names = session.scalars(text("SELECT relname FROM pg_class WHERE relname LIKE 'logs_p%' AND relkind = 'r'"))
        assert "logs_p202607" not in names.all()


def test_a_window_that_is_longer_than_logs_are_kept_still_holds_its_matches(
    database: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("RETENTION_DAYS", "7")
    forget()
    feed = Feed(START - timedelta(days=200))
    with session_scope() as session:
        condition = {"type": "threshold", "count": 3, "window_minutes": 44_640}
        body = {"name": "Month", "log_type": "message", "pattern_type": "any", "condition": condition}
        rule_admin.create(session, body, get_settings(), START).started_at = START - timedelta(days=100)
    for number, days in enumerate([70, 30, 25]):
        feed.store([log(number, START - timedelta(days=days))], START - timedelta(days=days))
        evaluate(START - timedelta(days=days))
    retention.clean(get_settings(), START)
    assert stored() == []
    feed.store([log(9, START)], START)
    evaluate(START)
    with session_scope() as session:
        assert session.scalars(select(Alert.occurrences).where(Alert.rule_id.is_not(None))).all() == [3]
        assert session.scalar(text("SELECT count(*) FROM matches")) == 3


def test_partitions_of_this_month_and_the_next_are_there_before_they_are_needed(database: str) -> None:
    retention.clean(get_settings(), START.replace(year=2031))
    with session_scope() as session:
        names = session.scalars(text("SELECT relname FROM pg_class WHERE relname LIKE 'logs_p%' AND relkind = 'r'"))
        assert {"logs_p203111", "logs_p203112"} <= set(names.all())


def test_alerts_their_deliveries_and_the_audit_are_kept_for_400_days(database: str) -> None:
    ages = [timedelta(days=days) for days in (401, 399, 365, 41)]
    with session_scope() as session:
        for age in ages:
            at = START - age
            session.add(alert_row(at, status="resolved", resolved_at=at))
            session.add(
                Delivery(
                    action_id=uuid4(),
                    action_type="webhook",
                    type="alert.resolved",
                    recipient="https://example.com",
                    status="succeeded",
                    content={},
                    created_at=at,
                )
            )
            audit.record(session, "operator", "rule.create", "rule:1", None, None, at)
    retention.clean(get_settings(), START)
    kept = [START - age for age in ages[1:]]
    with session_scope() as session:
        assert session.scalars(select(Alert.resolved_at).order_by(Alert.resolved_at)).all() == kept
        assert session.scalars(select(Delivery.created_at).order_by(Delivery.created_at)).all() == kept
        assert session.scalars(select(AuditEntry.at).order_by(AuditEntry.at)).all() == kept


def test_an_alert_is_found_by_its_account_after_its_logs_are_deleted(database: str) -> None:
    at = START - timedelta(days=130)
    feed = Feed(at - timedelta(days=1))
    with session_scope() as session:
        body = {"name": "Rule", "log_type": "message", "pattern_type": "any"}
        rule_admin.create(session, body, get_settings(), START).started_at = at - timedelta(days=1)
    feed.store([log(1, at)], at)
    evaluate(at)
    retention.clean(get_settings(), START)
    with session_scope() as session:
        assert session.scalar(text("SELECT count(*) FROM matches")) == 0
        for sid, is_found in ((ACCOUNT, True), ("AC" + "f" * 32, False)):
            page = search.list_alerts(session, search.AlertFilter(account_sid=(sid,)), None, 10)
            assert ("Rule" in {alert.rule_name for alert in page.items}) == is_found


def test_a_slot_that_a_silent_group_leaves_is_taken_by_the_next(database: str) -> None:
    feed = Feed(START - timedelta(days=1))
    with session_scope() as session:
        condition = {"type": "threshold", "count": 2, "window_minutes": 5}
        body = {
            "name": "Rule",
            "log_type": "message",
            "pattern_type": "any",
            "group_by": ["to"],
            "condition": condition,
        }
        rule = rule_admin.create(session, body, get_settings(), START)
        rule.started_at, rule_id = START - timedelta(days=1), rule.id
    log_numbers = count()

    def send(numbers: range, at: datetime) -> None:
        feed.store([log(next(log_numbers), at, to=f"+4477009{number:05}") for number in numbers], at)
        evaluate(at)

    send(range(500), START)
    later = START + timedelta(days=20)
    send(range(1, 502), later)  # the first was silent since, the last two find no slot
    retention.clean(get_settings(), later)
    send(range(700, 702), later + timedelta(minutes=1))
    with session_scope() as session:
        keys = session.scalars(select(RuleGroup.group_key).where(RuleGroup.rule_id == rule_id)).all()
    assert [key for key in keys if "+447700900700" in key or "+447700900701" in key] == ['{"to":"+447700900700"}']


def test_what_a_rule_has_that_was_created_meanwhile_is_kept(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    delete_expired = minute_counts.delete_expired

    def create_meanwhile(session: Session, rules: Iterable[Rule], now: datetime) -> None:
        with session_scope() as other:
            body = {"name": "Rule", "log_type": "message", "pattern_type": "any", "group_by": ["to"]}
            rule = rule_admin.create(other, body, get_settings(), now)
            times = {"first_match_at": now, "last_match_at": now}
            other.add(RuleGroup(rule_id=rule.id, epoch=rule.epoch, group_key='{"to":"+447700900123"}', **times))
        delete_expired(session, rules, now)

    monkeypatch.setattr(minute_counts, "delete_expired", create_meanwhile)
    retention.clean(get_settings(), START)
    with session_scope() as session:
        assert session.scalars(select(RuleGroup.group_key)).all() == ['{"to":"+447700900123"}']
