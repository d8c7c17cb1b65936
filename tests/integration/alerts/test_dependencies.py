"""Rules that depend on rules: what is suppressed, by what, and told when that is over."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from app.config import get_settings
from app.database import session_scope
from app.errors import InvalidInput
from app.models import Alert, Delivery, Rule
from app.services import rule_admin
from app.services.alerts import manual
from tests.fakes import START, minutes
from tests.feeding import ACCOUNT, Feed, evaluate, log
from tests.integration.alerts.stories import alerts, change_rule, fail_at, make_rule, pass_time, silence

pytestmark = pytest.mark.usefixtures("action")

OTHER_ACCOUNT = "AC" + "1" * 32
CAUSE = {"pattern_value": "failed"}
"""Undelivered messages depend on failed ones."""


def make_pair(**fields: object) -> tuple[UUID, UUID]:
    """Make a rule and one that depends on it."""
    cause = make_rule(name="Cause", **CAUSE, resolve_after_minutes=10, renotify_minutes=None)
    settings = {"resolve_after_minutes": 600, "renotify_minutes": 5} | fields
    return cause, make_rule(name="Dependent", depends_on=[str(cause)], **settings)


def alert_of(rule_id: UUID) -> Alert:
    (found,) = [each for each in alerts() if each.rule_id == rule_id]
    return found


def told_of(rule_id: UUID) -> list[tuple[str, float]]:
    own = {each.id for each in alerts() if each.rule_id == rule_id}
    with session_scope() as session:
        rows = session.execute(
            Delivery.__table__.select().where(Delivery.alert_id.in_(own)).order_by(Delivery.number)
        ).all()
    return [(row.type.removeprefix("alert."), (row.created_at - START) / timedelta(minutes=1)) for row in rows]


def test_an_alert_is_suppressed_while_its_cause_is_open_and_notified_afterwards(feed: Feed) -> None:
    cause, dependent = make_pair()
    fail_at(feed, 1, status="failed")
    fail_at(feed, 2)
    assert (alert_of(dependent).suppressed_by, told_of(dependent)) == (alert_of(cause).id, [])
    fail_at(feed, 9)
    evaluate(minutes(10.5))
    assert told_of(dependent) == []
    pass_time(feed, 11.5)
    assert alert_of(cause).status == "resolved"
    assert (alert_of(dependent).suppressed_by, told_of(dependent)) == (None, [("firing", 11.5)])


def test_an_acknowledged_cause_is_still_open(feed: Feed) -> None:
    cause, dependent = make_pair()
    fail_at(feed, 1, status="failed")
    with session_scope() as session:
        manual.acknowledge(session, alert_of(cause).id, "ann", None, get_settings(), minutes(1))
    fail_at(feed, 2)
    assert told_of(dependent) == []


def test_an_alert_that_resolves_while_suppressed_notifies_nobody(feed: Feed) -> None:
    cause, dependent = make_pair(resolve_after_minutes=1)
    fail_at(feed, 1, status="failed")
    fail_at(feed, 2)
    pass_time(feed, 5)
    pass_time(feed, 20)
    assert (alert_of(dependent).status, told_of(dependent)) == ("resolved", [])
    assert alert_of(dependent).suppressed_by == alert_of(cause).id


def test_a_cause_that_opens_later_holds_updates_and_not_the_resolve(feed: Feed) -> None:
    cause, dependent = make_pair(resolve_after_minutes=8)
    fail_at(feed, 1)
    fail_at(feed, 2, status="failed")
    evaluate(minutes(3))
    assert alert_of(dependent).suppressed_by == alert_of(cause).id
    fail_at(feed, 7)
    fail_at(feed, 10, status="failed")
    pass_time(feed, 16)
    assert told_of(dependent) == [("firing", 1), ("resolved", 16)]


@pytest.mark.parametrize("cause_comes_first", [True, False])
def test_within_one_batch_the_cause_is_known_first(feed: Feed, cause_comes_first: bool) -> None:
    cause, dependent = make_pair()
    logs = [log(1, minutes(1), status="failed"), log(2, minutes(1))]
    feed.store(logs if cause_comes_first else logs[::-1], minutes(1))
    evaluate(minutes(1))
    assert alert_of(dependent).suppressed_by == alert_of(cause).id
    assert told_of(dependent) == []


def test_only_the_same_account_is_suppressed(feed: Feed) -> None:
    cause, dependent = make_pair(group_by=["account_sid"])
    other = Feed(START - timedelta(days=10), OTHER_ACCOUNT)
    fail_at(feed, 1, status="failed")
    fail_at(feed, 2)
    fail_at(other, 3)
    by_account = {each.group["account_sid"]: each for each in alerts() if each.rule_id == dependent}
    assert by_account[ACCOUNT].suppressed_by == alert_of(cause).id
    assert by_account[OTHER_ACCOUNT].suppressed_by is None
    assert told_of(dependent) == [("firing", 3)]


def test_an_alert_of_two_accounts_is_notified_if_its_cause_is_in_only_one(feed: Feed) -> None:
    cause, dependent = make_pair()
    other = Feed(START - timedelta(days=10), OTHER_ACCOUNT)
    fail_at(feed, 1, status="failed")
    fail_at(feed, 2)
    assert told_of(dependent) == []
    fail_at(other, 3)
    assert told_of(dependent) == [("firing", 3)]
    assert alert_of(cause).status == "firing"


def test_silence_of_a_whole_account_suppresses_by_its_rule_filters(feed: Feed) -> None:
    Feed(START - timedelta(days=10), OTHER_ACCOUNT)
    condition = {"type": "no_data", "window_minutes": 5}
    nothing = {"pattern_type": "any", "pattern_value": None, "renotify_minutes": None}
    cause = make_rule(**nothing, condition=condition, filters={"account_sid": [ACCOUNT]}, log_type="call")
    dependent = make_rule(**nothing, condition=condition, filters={"account_sid": [ACCOUNT]}, depends_on=[str(cause)])
    wide = make_rule(**nothing, condition=condition, depends_on=[str(cause)], log_type="call")
    feed.complete(minutes(6))
    evaluate(minutes(6))
    assert alert_of(dependent).suppressed_by == alert_of(cause).id
    assert [each.suppressed_by for each in alerts() if each.rule_id == wide] == [None]


def test_a_cause_that_is_edited_deleted_or_disabled_suppresses_no_more(feed: Feed) -> None:
    cause, dependent = make_pair()
    fail_at(feed, 1, status="failed")
    fail_at(feed, 2)
    with session_scope() as session:
        rule_admin.delete(session, cause, get_settings(), minutes(3))
    with session_scope() as session:
        assert session.get_one(Rule, dependent).depends_on == []
    evaluate(minutes(4))
    assert told_of(dependent) == [("firing", 4)]


def test_a_dependency_that_is_taken_away_suppresses_no_more(feed: Feed) -> None:
    _, dependent = make_pair()
    fail_at(feed, 1, status="failed")
    fail_at(feed, 2)
    change_rule(dependent, depends_on=[])
    evaluate(minutes(6))
    assert told_of(dependent) == [("firing", 6)]


def test_silence_and_dependency_hold_together(feed: Feed) -> None:
    _, dependent = make_pair()
    silence(0, 20, dependent)
    fail_at(feed, 1, status="failed")
    fail_at(feed, 2)
    pass_time(feed, 15)
    assert (alert_of(dependent).suppressed_by, told_of(dependent)) == (None, [])
    pass_time(feed, 20)
    assert told_of(dependent) == [("firing", 20)]


def test_cycles_and_missing_rules_are_refused(feed: Feed) -> None:
    cause, dependent = make_pair()
    for rule_id, wanted in ((cause, [dependent]), (dependent, [dependent]), (dependent, [uuid4()])):
        with pytest.raises(InvalidInput) as refused:
            change_rule(rule_id, depends_on=[str(each) for each in wanted])
        assert [error.field for error in refused.value.errors] == ["depends_on"]
    with pytest.raises(InvalidInput):
        make_rule(depends_on=[str(uuid4())])


def test_editing_dependencies_does_not_restart_a_rule(feed: Feed) -> None:
    cause, dependent = make_pair()
    with session_scope() as session:
        before = session.get_one(Rule, dependent).epoch
    change_rule(dependent, depends_on=[])
    change_rule(dependent, depends_on=[str(cause)])
    with session_scope() as session:
        assert session.get_one(Rule, dependent).epoch == before
