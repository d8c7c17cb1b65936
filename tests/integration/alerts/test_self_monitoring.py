"""Alerts that no rule opens: what they say of GiftPulse itself, whom they reach, and what ends them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from app.config import get_settings
from app.database import session_scope
from app.models import Action, Alert, Delivery
from app.services.alerts import manual, silences
from app.services.alerts.recurrence import Validity
from app.services.outbox import actions
from app.services.outbox.cancellation import disable
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate
from tests.integration.alerts.stories import make_action, make_rule

ACCOUNT_GROUP = {"account_sid": "AC" + "0" * 32}


def alerts() -> list[tuple[str, str, str]]:
    with session_scope() as session:
        rows = session.scalars(select(Alert).order_by(Alert.number))
        return [(row.rule_name, row.severity, row.status) for row in rows if row.rule_id is None]


def notifications() -> list[tuple[UUID, str]]:
    with session_scope() as session:
        rows = session.execute(
            select(Delivery.action_id, Delivery.type).where(Delivery.alert_id.is_not(None)).order_by(Delivery.number)
        )
        return [(row[0], row[1].removeprefix("alert.")) for row in rows]


def enqueue_delivery(_: UUID) -> None:
    with session_scope() as session:
        session.execute(
            text(
                "INSERT INTO deliveries (id, action_id, action_type, type, recipient, status, content, created_at,"
                " next_attempt_at) VALUES (gen_random_uuid(), gen_random_uuid(), 'email', 'action.test', 'x',"
                " 'pending', '{}', :at, :at)"
            ),
            {"at": minutes(-11)},
        )


def deliver(_: UUID) -> None:
    with session_scope() as session:
        session.execute(update(Delivery).where(Delivery.type == "action.test").values(status="succeeded"))


def switch_off(action_id: UUID) -> None:
    with session_scope() as session:
        disable(session, session.get_one(Action, action_id), "it is gone", START)


def switch_on(action_id: UUID) -> None:
    with session_scope() as session:
        actions.patch(session, action_id, {"enabled": True}, get_settings(), minutes(1))


@pytest.fixture
def feed(database: str) -> Feed:
    feed = Feed(START - timedelta(days=10))
    feed.complete(minutes(0))
    return feed


@pytest.mark.parametrize(
    ("name", "break_it", "mend_it"),
    [("Deliveries are overdue", enqueue_delivery, deliver), ("Action disabled", switch_off, switch_on)],
)
def test_the_alert_about_deliveries_notifies_once_and_resolves_when_they_work(
    feed: Feed, name: str, break_it: Callable[[UUID], None], mend_it: Callable[[UUID], None]
) -> None:
    broken, other = make_action(rule_id=str(make_rule())), make_action()
    break_it(broken)
    evaluate(minutes(0))
    evaluate(minutes(1))
    assert alerts() == [(name, "critical", "firing")]
    mend_it(broken)
    evaluate(minutes(2))
    assert alerts() == [(name, "critical", "resolved")]
    assert notifications() == [(other, "firing"), (other, "resolved")]


def test_built_in_alerts_reach_actions_of_every_rule_and_no_action_of_one(feed: Feed) -> None:
    make_action(rule_id=str(make_rule()))
    of_all = make_action()
    evaluate(minutes(16))
    assert notifications() == [(of_all, "firing")]


@pytest.mark.parametrize(
    ("of_a_rule", "group", "silenced"),
    [
        (False, {}, True),
        (False, ACCOUNT_GROUP, True),
        (False, {"account_sid": "AC" + "1" * 32}, False),
        (True, {}, False),
    ],
)
def test_a_silence_of_every_rule_holds_built_in_alerts_too(
    feed: Feed, of_a_rule: bool, group: dict[str, Any], silenced: bool
) -> None:
    make_action()
    rule_id = make_rule() if of_a_rule else None
    with session_scope() as session:
        silences.create(session, rule_id, group, Validity(minutes(0), minutes(20), None), "works", "ann", minutes(0))
    evaluate(minutes(16))
    assert [kind for _, kind in notifications()] == ([] if silenced else ["firing"])
    evaluate(minutes(20))
    assert [kind for _, kind in notifications()] == ["firing"]


def test_a_built_in_alert_resolved_manually_fires_again_only_once_all_was_well_in_between(feed: Feed) -> None:
    evaluate(minutes(16))
    with session_scope() as session:
        manual.resolve(session, session.scalars(select(Alert.id)).one(), "ann", None, get_settings(), minutes(17))
    evaluate(minutes(18))
    assert [status for _, _, status in alerts()] == ["resolved"]
    feed.complete(minutes(19))
    evaluate(minutes(19))
    evaluate(minutes(40))
    assert [status for _, _, status in alerts()] == ["resolved", "firing"]
