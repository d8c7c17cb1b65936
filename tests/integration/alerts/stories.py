"""What tests of an alert's life tell their stories with: rules, actions, silences, and what came of them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.models import Alert, Delivery
from app.services import audit, rule_admin
from app.services.alerts import silences
from app.services.alerts.recurrence import Validity
from app.services.outbox import actions
from app.services.serializers import rule_json
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate, log

ACTION = {"action_type": "webhook", "config": {"url": "https://hooks.example.com/giftpulse"}}


def make_rule(**fields: Any) -> UUID:
    body = {"name": "Rule", "log_type": "message", "pattern_type": "status", "pattern_value": "undelivered"} | fields
    with session_scope() as session:
        rule = rule_admin.create(session, body, get_settings(), START)
        rule.started_at = START
        return rule.id


def change_rule(rule_id: UUID, at: float = 5, **fields: Any) -> None:
    """Edit a rule; one that starts anew by that starts at this minute."""
    with session_scope() as session:
        before = rule_admin.get(session, rule_id).epoch
        rule = rule_admin.patch(session, rule_id, fields, get_settings(), minutes(at))
        if rule.epoch != before:
            rule.started_at = minutes(at)


def edit_rule(rule_id: UUID, at: float, **fields: Any) -> None:
    """Edit a rule as a person does: the audit keeps how it was."""
    with session_scope() as session:
        before = rule_json(rule_admin.get(session, rule_id))
    change_rule(rule_id, at, **fields)
    with session_scope() as session:
        after = rule_json(rule_admin.get(session, rule_id))
        audit.record(session, "ann", "rule.update", f"rule:{rule_id}", before, after, minutes(at))


def delete_rule(rule_id: UUID, at: float) -> None:
    """Delete a rule as a person does."""
    with session_scope() as session:
        before = rule_json(rule_admin.get(session, rule_id, lock=True))
        audit.record(session, "ann", "rule.delete", f"rule:{rule_id}", before, None, minutes(at))
        rule_admin.delete(session, rule_id, get_settings(), minutes(at))


def make_action(**fields: Any) -> UUID:
    with session_scope() as session:
        action, _ = actions.create(session, ACTION | fields, get_settings(), START)
        return action.id


def silence(since: float, until: float, rule_id: UUID | None = None, **group: Any) -> UUID:
    with session_scope() as session:
        made = silences.create(
            session, rule_id, group, Validity(minutes(since), minutes(until), None), "works", "ann", minutes(since)
        )
        return made.id


def fail_at(feed: Feed, *at: float, arriving: float | None = None, **fields: Any) -> None:
    """Let a message fail at each of these minutes, and evaluate when the last arrives."""
    for minute in at:
        now = minutes(minute if arriving is None else arriving)
        feed.store([log(int(minute * 60), minutes(minute), **fields)], now)
        evaluate(now)


def pass_time(feed: Feed, until: float) -> None:
    """Let everything up to a minute be read and evaluated."""
    feed.complete(minutes(until))
    evaluate(minutes(until))


def notifications() -> list[tuple[str, datetime]]:
    """What is owed, in order, but for the built-in alerts."""
    with session_scope() as session:
        rows = session.execute(
            select(Delivery.type, Delivery.created_at)
            .join(Alert, Alert.id == Delivery.alert_id)
            .where(Alert.rule_id.is_not(None))
            .order_by(Delivery.number)
        )
        return [(row[0].removeprefix("alert."), row[1]) for row in rows]


def notification_times() -> list[tuple[str, float]]:
    """As above, the times in minutes."""
    return [(kind, (at - START) / timedelta(minutes=1)) for kind, at in notifications()]


def alerts() -> list[Alert]:
    """The alerts of rules, in the order of their recording."""
    with session_scope() as session:
        found = list(session.scalars(select(Alert).where(Alert.rule_id.is_not(None)).order_by(Alert.number)))
        session.expunge_all()
        return found


def only_alert() -> Alert:
    (alert,) = alerts()
    return alert
