"""People who edit something while workers hold it, one after another and without a pause: they wait for those before
them, never for those who come later.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.config import get_settings
from app.database import AdvisoryLock, session_scope
from app.enums import NotificationType
from app.models import Account, RuleGroup
from app.services import rule_admin
from app.services.evaluation import change_queue, group_slots, pipeline, rule_health, rule_set, warm_up
from app.services.ingest import account_admin
from app.services.outbox import actions, enqueue
from app.services.outbox.notice import make_notice
from app.services.rules.rule import Rule
from app.utils.clock import utc_now
from tests.factories import alert_row
from tests.feeding import ACCOUNT, Feed, log
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

RULE: dict[str, Any] = {"name": "Rule", "log_type": "message", "pattern_type": "any"}
NEW_VALUE = {"condition": {"type": "new_value", "field": "error_code", "lookback_days": 7}}
WEBHOOK = {"action_type": "webhook", "config": {"url": "https://hooks.example.com/x"}}


def _waiting() -> int:
    with session_scope() as session:
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return int(session.scalar(text(waits)) or 0)


class Queue:
    """Transactions that each hold what they have done until they are let go, and people who wait for them."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self.order: list[str] = []

    def hold(self, name: str, work: Callable[[Session], Any]) -> tuple[threading.Event, threading.Event, Future[None]]:
        """Begin a transaction; return what is set once it holds what it wants, what lets it end, and its end."""
        holds, may_end = threading.Event(), threading.Event()

        def run() -> None:
            with session_scope() as session:
                work(session)
                self.order.append(name)
                holds.set()
                assert may_end.wait(PATIENCE_SECONDS)

        return holds, may_end, self._pool.submit(run)


def _wait_in_line(worker: Callable[[Session], Any], person: Callable[[Session], Any]) -> list[str]:
    """Let a person come while a worker is at it, and another worker after that; return in which order they went."""
    with ThreadPoolExecutor(3) as pool:
        queue = Queue(pool)
        holds, may_end, first = queue.hold("worker", worker)
        assert holds.wait(PATIENCE_SECONDS)
        _, person_may_end, edit = queue.hold("person", person)
        wait_until(lambda: _waiting() == 1, "the person waits for the worker")
        _, later_may_end, later = queue.hold("later worker", worker)
        try:
            wait_until(lambda: _waiting() == 2 or later_may_end.is_set(), "the later worker waits")
        finally:
            for event in (may_end, person_may_end, later_may_end):
                event.set()
        for each in (first, edit, later):
            each.result(PATIENCE_SECONDS)
        return queue.order


def test_an_edit_of_a_rule_waits_for_no_evaluation_that_comes_later(database: str) -> None:
    with session_scope() as session:
        rule_id = rule_admin.create(session, RULE, get_settings(), utc_now()).id

    def edit(session: Session) -> None:
        rule_admin.patch(session, rule_id, {"name": "Other"}, get_settings(), utc_now())

    assert _wait_in_line(rule_set.load_rule_set, edit) == ["worker", "person", "later worker"]


def test_an_edit_of_a_rule_waits_for_no_compilation(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with session_scope() as session:
        rule_id = rule_admin.create(session, RULE, get_settings(), utc_now()).id
    compile_rules = rule_set._compile
    compilations: list[Sequence[Rule]] = []

    def edit_meanwhile(rules: Sequence[Rule], new_ids: Collection[UUID]) -> rule_set.RuleSet:
        compilations.append(rules)
        if len(compilations) <= 2:
            with session_scope() as session:
                session.execute(text("SET LOCAL lock_timeout = '1s'"))
                rule_admin.patch(session, rule_id, {"name": f"Edit {len(compilations)}"}, get_settings(), utc_now())
        return compile_rules(rules, new_ids)

    monkeypatch.setattr(rule_set, "_compile", edit_meanwhile)
    with session_scope() as session:
        found = rule_set.load_rule_set(session)
        assert found.rules[rule_id].name == "Edit 2"
        assert len(compilations) == 3


def test_edits_without_end_do_not_keep_an_evaluation_waiting(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with session_scope() as session:
        rule_id = rule_admin.create(session, RULE, get_settings(), utc_now()).id
    compile_rules = rule_set._compile
    edits: list[Session] = []

    def edit_meanwhile(rules: Sequence[Rule], new_ids: Collection[UUID]) -> rule_set.RuleSet:
        with suppress(OperationalError), session_scope() as session:
            session.execute(text("SET LOCAL lock_timeout = '200ms'"))
            rule_admin.patch(session, rule_id, {"name": f"Edit {len(edits)}"}, get_settings(), utc_now())
            edits.append(session)
        return compile_rules(rules, new_ids)

    monkeypatch.setattr(rule_set, "_compile", edit_meanwhile)
    with session_scope() as session:
        assert rule_set.load_rule_set(session).rules[rule_id].name == f"Edit {len(edits) - 1}"


def test_evaluators_of_a_rule_get_it_in_the_order_in_which_they_asked(database: str) -> None:
    with session_scope() as session:
        rule_id = rule_admin.create(session, RULE, get_settings(), utc_now()).id

    def evaluate_once(session: Session) -> None:
        rule_set.lock_rules(session, [rule_id])
        rule_health.record_matches(session, [rule_id], 1.0, utc_now())

    with ThreadPoolExecutor(3) as pool:
        queue = Queue(pool)
        holds, may_end = threading.Event(), threading.Event()

        def evaluate_twice() -> None:
            for name in ("first", "first again"):
                with session_scope() as session:
                    evaluate_once(session)
                    queue.order.append(name)
                    holds.set()
                    assert may_end.wait(PATIENCE_SECONDS)

        first = pool.submit(evaluate_twice)
        assert holds.wait(PATIENCE_SECONDS)
        _, second_may_end, second = queue.hold("second", evaluate_once)
        wait_until(lambda: _waiting() == 1, "the second waits for the first")
        _, third_may_end, third = queue.hold("third", evaluate_once)
        wait_until(lambda: _waiting() == 2, "the third waits, too")
        for event in (second_may_end, third_may_end, may_end):
            event.set()
        for each in (first, second, third):
            each.result(PATIENCE_SECONDS)
    assert queue.order == ["first", "second", "third", "first again"]


def test_an_error_of_a_rule_is_recorded_when_it_is_the_evaluators_turn(database: str) -> None:
    now = utc_now()
    with session_scope() as session:
        failing = {"pattern_type": "expression", "pattern_value": 'log.text.contains("x")'}
        rule = rule_admin.create(session, RULE | failing, get_settings(), now)
        rule.started_at = now - timedelta(hours=1)
        rule_id = rule.id
    feed = Feed(now - timedelta(hours=1))
    feed.store([log(1, now, text=None)], now)
    with ThreadPoolExecutor(1) as pool, session_scope() as other:
        rule_set.lock_rules(other, [rule_id])
        evaluation = pool.submit(pipeline.evaluate_batch, feed.stream_ids["message"], get_settings(), now)
        wait_until(lambda: _waiting() == 1 or evaluation.done(), "the evaluation waits for the other evaluator")
        assert not evaluation.done()
        other.commit()
        assert evaluation.result(PATIENCE_SECONDS) == 1
    with session_scope() as session:
        assert "null" in (rule_admin.get(session, rule_id).last_error or "")


def test_two_evaluators_give_the_last_slot_of_a_rule_away_once(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_slots, "MAX_GROUPS", 1)
    with session_scope() as session:
        rule = rule_admin.create(session, RULE | {"group_by": ["to"]}, get_settings(), utc_now())
        rule.started_at = utc_now() - timedelta(hours=1)
    now, streams = utc_now(), []
    for number, sid in enumerate((ACCOUNT, "AC" + "f" * 32)):
        feed = Feed(now - timedelta(hours=1), sid=sid)
        feed.store([log(number, now, to=f"+44770090000{number}")], now)
        streams.append(feed.stream_ids["message"])
    finish, holds, may_end = change_queue.finish_batch, threading.Event(), threading.Event()

    def finish_later(*values: Any) -> None:
        if not holds.is_set():
            holds.set()
            assert may_end.wait(PATIENCE_SECONDS)
        finish(*values)

    monkeypatch.setattr(change_queue, "finish_batch", finish_later)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(pipeline.evaluate_batch, streams[0], get_settings(), now)
        assert holds.wait(PATIENCE_SECONDS)
        second = pool.submit(pipeline.evaluate_batch, streams[1], get_settings(), now)
        wait_until(lambda: _waiting() == 1, "the second waits for the first")
        may_end.set()
        assert (first.result(PATIENCE_SECONDS), second.result(60)) == (1, 1)
    with session_scope() as session:
        groups = session.scalars(select(RuleGroup.group_key).order_by(RuleGroup.group_key)).all()
    assert groups == ['{"to":"+447700900000"}', '{"to":"__other__"}']


def test_tidying_up_leaves_a_rule_that_is_edited_for_the_next_time(database: str) -> None:
    with session_scope() as session:
        edited, other = (rule_admin.create(session, RULE, get_settings(), utc_now()) for _ in range(2))
        edited.groups_capped = other.groups_capped = True
    with session_scope() as editing, session_scope() as tidying:
        rule_admin.patch(editing, edited.id, {"name": "Other"}, get_settings(), utc_now())
        tidying.execute(text("SET LOCAL lock_timeout = '1s'"))
        group_slots.clear_capped(tidying)
        tidying.commit()
    with session_scope() as session:
        capped = session.scalars(text("SELECT id FROM rules WHERE groups_capped")).all()
    assert capped == [edited.id]


@pytest.mark.parametrize(("condition", "pauses"), [({}, False), (NEW_VALUE, True)])
def test_evaluations_pause_for_a_new_rule_only_if_it_has_something_to_read(
    database: str, condition: dict[str, Any], pauses: bool
) -> None:
    with session_scope() as session:
        rule_admin.create(session, RULE | condition, get_settings(), utc_now())
        made = rule_set.read_version(session)
    pipeline.evaluate_time(get_settings(), utc_now(), 60)
    with session_scope() as session:
        assert (rule_set.read_version(session) != made) is pauses, "whoever has them pause moves the version"


def test_a_warm_up_locks_the_rule_set_before_rows_of_rules_as_edits_do(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Feed(utc_now() - timedelta(days=8))
    with session_scope() as session:
        rule_admin.create(session, RULE | NEW_VALUE, get_settings(), utc_now())
    assign_slots, locked = group_slots.assign_slots, []

    def look(*values: Any) -> dict[tuple[UUID, str], str]:
        with session_scope() as other:
            free = other.scalar(select(func.pg_try_advisory_xact_lock(AdvisoryLock.RULE_SET)))
        locked.append(not free)
        return assign_slots(*values)

    monkeypatch.setattr(group_slots, "assign_slots", look)
    with session_scope() as session:
        warm_up.warm_up_rules(session, utc_now())
    assert locked == [True]


def test_an_edit_of_an_action_waits_for_no_notification_that_comes_later(database: str) -> None:
    with session_scope() as session:
        action_id = actions.create(session, WEBHOOK, get_settings(), utc_now())[0].id
        alert = alert_row(utc_now())
        session.add(alert)
        session.flush()
        notice = make_notice(NotificationType.FIRING, alert)

    def tell(session: Session) -> None:
        enqueue.enqueue(session, [notice], get_settings(), utc_now())

    def edit(session: Session) -> None:
        actions.patch(session, action_id, {"enabled": False}, get_settings(), utc_now())

    assert _wait_in_line(tell, edit) == ["worker", "person", "later worker"]
    with session_scope() as session:
        kinds = session.scalars(text("SELECT status FROM deliveries")).all()
    assert kinds == ["failed"], "the later worker saw that the action is disabled"


def test_rows_that_refer_to_an_account_do_not_keep_an_edit_of_it_waiting(database: str) -> None:
    Feed(utc_now())
    with ThreadPoolExecutor(1) as pool, session_scope() as storing:
        # As every row that refers to the account holds it, while it is stored.
        storing.execute(select(Account.id).with_for_update(read=True, key_share=True))

        def edit() -> None:
            with session_scope() as session:
                values = {"friendly_name": "Mine", "auth_token": "0" * 32}
                account = account_admin.get(session, ACCOUNT, lock=True)
                account_admin.edit(session, get_settings(), account, values, utc_now())

        pool.submit(edit).result(PATIENCE_SECONDS)


def test_a_rule_is_edited_while_another_learns_from_what_is_stored(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = utc_now()
    feed = Feed(now - timedelta(days=1))
    feed.store([log(1, now - timedelta(hours=2))], now)
    with session_scope() as session:
        other = rule_admin.create(session, RULE, get_settings(), now).id
    pipeline.evaluate_changes(get_settings(), 60)
    with session_scope() as session:
        learner = rule_admin.create(session, RULE | NEW_VALUE, get_settings(), now).id
    learns, may_go_on, learn = threading.Event(), threading.Event(), warm_up._read_history

    def wait_before_learning(*given: Any) -> Any:
        learns.set()
        assert may_go_on.wait(PATIENCE_SECONDS)
        return learn(*given)

    monkeypatch.setattr(warm_up, "_read_history", wait_before_learning)
    with ThreadPoolExecutor(1) as pool:
        learning = pool.submit(pipeline.evaluate_time, get_settings(), utc_now(), 60)
        try:
            assert learns.wait(PATIENCE_SECONDS)
            with session_scope() as session:
                rule_admin.patch(session, other, {"name": "Other"}, get_settings(), utc_now())
                rule_admin.patch(
                    session, learner, {"pattern_type": "status", "pattern_value": "failed"}, get_settings(), utc_now()
                )
        finally:
            may_go_on.set()
        learning.result(PATIENCE_SECONDS)
    with session_scope() as session:
        seeded = {row.id: row.seeded for row in session.execute(text("SELECT id, seeded FROM rules"))}
        assert seeded == {other: True, learner: True}
        seen = session.execute(text("SELECT epoch, count(*) FROM seen_values GROUP BY epoch")).all()
    assert seen == [(1, 1)], "the rule that was edited has learnt again, by its new meaning"
