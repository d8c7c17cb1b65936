"""The outbox under whatever may happen to it, in any order: hypothesis looks for an order that breaks a promise.

The database, claims, recording, digests and the webhook's bytes are the product's own. Only the network is scripted,
and the clock. Workers are not processes here but claims in our hands: they can be finished, forgotten, or finished
when it is too late.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.actions.base import Sender
from app.actions.webhook_sender import WebhookSender
from app.config import get_settings
from app.database import get_engine, session_scope
from app.enums import HoldReason, NotificationType
from app.errors import Conflict
from app.models import Action
from app.services.outbox import actions, bundle, claim, digest, dispatch, limits
from app.services.outbox.cancellation import fail_orphans
from app.services.outbox.claim import Claim
from app.services.outbox.enqueue import enqueue, make_test
from app.services.outbox.notice import make_notice
from app.services.outbox.record import AttemptResult, record
from app.services.outbox.retry import retry
from app.utils.json_types import JsonObject
from tests.factories import alert_row
from tests.fakes import START, FrozenClock
from tests.kits.databases import delete_all
from tests.kits.outbox_network import ANSWERS, Ledger
from tests.kits.outbox_promises import Promises, Row

SCHEDULE = (5, 30, 120)
WEBHOOK: JsonObject = {"url": "https://hooks.example.com/a?token=b"}
MAIL: JsonObject = {"recipients": ["a@example.com", "b@example.com"]}
BUNDLES = st.sampled_from([0, 60, 3600])


@dataclass
class HeldClaim:
    """A claim in the hands of a worker."""

    claim: Claim
    outcome: AttemptResult | None = None
    """What the receiver said, where it was asked and the answer is not written down yet."""


class OutboxMachine(RuleBasedStateMachine):
    """Alerts, actions, workers and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FrozenClock()
        self.runner = asyncio.Runner()
        self.network = Ledger()
        self.made: list[UUID] = []
        self.held: list[HeldClaim] = []
        self.lost: list[HeldClaim] = []
        """Claims of workers that died or slept."""
        self.withheld: set[UUID] = set()
        """Alerts that something withholds."""
        self.promises = Promises()
        with session_scope() as session:
            delete_all(session)

    def teardown(self) -> None:
        """Let everything heal: then nothing may be left that is owed."""
        try:
            self.network.answer = "200"
            for which in range(len(self.alerts)):
                self.tell_again(which)
            for _ in range(400):
                self.clock.advance(minutes=3)
                self.look_for_digests()
                self.claim(100, False)
                while self.held:
                    self.finish(0, "200")
                self.promises_hold()
                rows = self.deliveries()
                usable = self.enabled_actions()
                waits = [r for r in rows if r["status"] == "folded" and not r["digest_id"] and r["action_id"] in usable]
                if not waits and not any(r["status"] == "pending" for r in rows):
                    return
            raise AssertionError("something is owed for ever")
        finally:
            self.runner.close()

    # What there is

    def deliveries(self) -> list[Row]:
        with session_scope() as session:
            return [dict(row) for row in session.execute(text("SELECT * FROM deliveries ORDER BY number")).mappings()]

    def enabled_actions(self) -> set[UUID]:
        with session_scope() as session:
            return set(session.scalars(text("SELECT id FROM actions WHERE enabled")))

    def action_ids(self) -> list[UUID]:
        """The actions that exist, in the order they were made: an order by id would be another one each time."""
        with session_scope() as session:
            existing = set(session.scalars(text("SELECT id FROM actions")))
        return [each for each in self.made if each in existing]

    # What may happen

    @initialize(bundle_seconds=st.tuples(BUNDLES, BUNDLES))
    def begin(self, bundle_seconds: tuple[int, int]) -> None:
        self._add("webhook", WEBHOOK, bundle_seconds[0])
        self._add("email", MAIL, bundle_seconds[1])
        self.alerts = [alert_row(START) for _ in range(3)]

    @rule(bundle_seconds=BUNDLES)
    def add_webhook(self, bundle_seconds: int) -> None:
        self._add("webhook", WEBHOOK, bundle_seconds)

    @rule(bundle_seconds=BUNDLES)
    def add_mail(self, bundle_seconds: int) -> None:
        self._add("email", MAIL, bundle_seconds)

    def _add(self, action_type: str, config: JsonObject, bundle_seconds: int) -> None:
        if len(self.action_ids()) < 3:
            with session_scope() as session:
                body = {"action_type": action_type, "config": config, "bundle_seconds": bundle_seconds}
                self.made.append(actions.create(session, body, get_settings(), self.clock())[0].id)
            self.clock.advance(seconds=1)

    @rule(which=st.integers(0, 2), kind=st.sampled_from(["firing", "update", "resolved"]))
    def notify(self, which: int, kind: str) -> None:
        if kind == "resolved":
            told, self.alerts[which] = self.alerts[which], alert_row(START)
        else:
            told = self.alerts[which]
        before = [row for row in self.deliveries() if row["alert_id"] == told.id]
        with session_scope() as session:
            enqueue(session, [make_notice(NotificationType(f"alert.{kind}"), told)], get_settings(), self.clock())
        if kind == "resolved":
            self._check_taken_out(before, told.id)

    def _check_taken_out(self, before: list[Row], alert_id: UUID) -> None:
        """A resolve takes the firing out of a bundle that is open, and of that one the end is not told."""
        self.withheld.discard(alert_id)
        now = self.clock()
        taken = [each for each in before if each["bundle_until"] and (each["held_by"] or each["bundle_until"] > now)]
        left = {row["id"] for row in self.deliveries() if row["alert_id"] == alert_id}
        assert not left & {row["id"] for row in taken}
        self.promises.forget({row["id"] for row in taken})
        told = {
            (row["action_id"], row["action_type"], row["recipient"])
            for row in before
            if row["type"] == NotificationType.FIRING and row not in taken
        }
        ends = [row for row in self.deliveries() if row["alert_id"] == alert_id and row["type"] == "alert.resolved"]
        heard = {(each[0], each[1]) if each[1] == "webhook" else each for each in told}
        for row in ends:
            key = (row["action_id"], row["action_type"], row["recipient"])
            assert (key[:2] if row["action_type"] == "webhook" else key) in heard, "only of what was told the end is"

    @rule(which=st.integers(0, 2))
    def withhold(self, which: int) -> None:
        """A silence begins, or somebody takes care of it."""
        self.withheld.add(self.alerts[which].id)

    @rule(which=st.integers(0, 2))
    def hold(self, which: int) -> None:
        """What fires is withheld when the bundle is over."""
        self.notify(which, "firing")
        self.withhold(which)
        self.clock.advance(seconds=61)
        self.look_for_digests()

    @rule(which=st.integers(0, 2))
    def tell_again(self, which: int) -> None:
        """What withheld an alert ends: what was held for an action is told to it anew, as the next tick does."""
        alert = self.alerts[which]
        self.withheld.discard(alert.id)
        before = [row for row in self.deliveries() if row["alert_id"] == alert.id and row["held_by"]]
        with session_scope() as session:
            held_for = bundle.find_held(session).get(alert.id, set())
            notices = [make_notice(NotificationType.FIRING, alert, frozenset(held_for))] if held_for else []
            enqueue(session, notices, get_settings(), self.clock())
        assert held_for == {row["action_id"] for row in before}, "held is only what an action still waits for"
        after = [row for row in self.deliveries() if row["alert_id"] == alert.id]
        assert not any(row["held_by"] for row in after)
        # Another firing of the alert, where this machine made one, tells of it as well.
        firings = {row["action_id"] for row in after if row["type"] == NotificationType.FIRING}
        assert held_for <= firings, "each action is told"
        self.promises.forget({row["id"] for row in before})

    def _withheld(self, session: Session, alert_ids: Collection[UUID], now: datetime) -> dict[UUID, HoldReason]:
        return {each: HoldReason.SILENCE for each in alert_ids if each in self.withheld}

    @rule(number=st.integers(2, 6))
    def flood(self, number: int) -> None:
        fresh = [make_notice(NotificationType.FIRING, alert_row(START)) for _ in range(number)]
        with session_scope() as session:
            enqueue(session, fresh, get_settings(), self.clock())

    @rule(seconds=st.sampled_from([1, 5, 7, 36, 61, 145, 250, 601, 3700, 4400, 100_000]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @rule(seconds=st.sampled_from([1, 30, 90]))
    def step_back(self, seconds: int) -> None:
        self.clock.advance(seconds=-seconds)

    @rule(limit=st.sampled_from([1, 3, 100]), rivals=st.booleans())
    def claim(self, limit: int, rivals: bool) -> None:
        """One worker claims, or two at the same moment."""
        before = self.deliveries()
        expected = self._expected(before)
        sessions = [Session(get_engine(), expire_on_commit=False) for _ in range(1 + rivals)]
        try:
            taken = [claim.claim_due(each, self.clock(), limit, SCHEDULE) for each in sessions]
            for each in reversed(sessions):
                each.commit()
        finally:
            for each in sessions:
                each.close()
        got = [one for many in taken for one in many]
        if not rivals and limit == 100:
            assert {one.delivery.id for one in got} == expected, "what is due and free is taken, and nothing else"
        assert {one.delivery.id for one in got} <= expected
        assert len({one.delivery.id for one in got}) == len(got), "one delivery, one worker"
        self.held += [HeldClaim(one) for one in got]

    def _expected(self, rows: list[Row]) -> set[UUID]:
        """Say what must be taken now: the rules of the claim once more, one row at a time."""
        now, due = self.clock(), set()
        with session_scope() as session:
            usable = list(session.scalars(text("SELECT id FROM actions WHERE enabled")))
            found = {each: session.get_one(Action, each) for each in usable}
            session.expunge_all()
        for action_id, action in found.items():
            mine = [each for each in rows if each["action_id"] == action_id]
            live = sum(1 for each in mine if each["lease_until"] and each["lease_until"] >= now)
            ready = sorted(
                (
                    each
                    for each in mine
                    if each["status"] == "pending"
                    and each["bundle_until"] is None
                    and each["next_attempt_at"] <= now
                    and not (each["lease_until"] and each["lease_until"] >= now)
                    and not self._waits_for_another(each, rows)
                ),
                key=lambda each: (each["next_attempt_at"], each["number"]),
            )
            if action.probe_at is not None and action.probe_at <= now and live == 0:
                ready = ready[:1]
            elif action.probe_at is not None:
                ready = [each for each in ready if self._cannot_wait(each, now)]
            room = min(limits.available_burst(action.free_at, now), limits.MAX_CONCURRENT - live)
            due |= {each["id"] for each in ready[: max(room, 0)]}
        return due

    def _cannot_wait(self, row: Row, now: datetime) -> bool:
        """A receiver that is down may be spared first attempts, until their first retry would be due."""
        retried = row["attempt_count"] > row["retries_from"]
        waited: bool = row["next_attempt_at"] + timedelta(seconds=SCHEDULE[0]) <= now
        return retried or waited

    def _waits_for_another(self, row: Row, rows: list[Row]) -> bool:
        by_id = {each["id"]: each for each in rows}
        return any(
            each["alert_id"] is not None
            and (each["alert_id"], each["action_id"], self._receiver(each))
            == (row["alert_id"], row["action_id"], self._receiver(row))
            and each["number"] < row["number"]
            and (each["status"] == "pending" or self._told_later(each, by_id))
            for each in rows
        )

    @staticmethod
    def _receiver(row: Row) -> str:
        """A webhook is one receiver, whatever its URL was then."""
        return str(row["recipient"]) if row["action_type"] == "email" else ""

    @staticmethod
    def _told_later(row: Row, by_id: dict[UUID, Row]) -> bool:
        """It is folded, and the digest that tells of it is not over."""
        if row["status"] != "folded":
            return False
        return row["digest_id"] is None or by_id[row["digest_id"]]["status"] == "pending"

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9), answer=st.sampled_from(ANSWERS))
    def finish(self, which: int, answer: str) -> None:
        """A worker sends, and writes down what came of it."""
        each = self.held.pop(which % len(self.held))
        self._ask(each, answer)
        self._write_down(each)

    @precondition(lambda self: len(self.held) > 1)
    @rule(answer=st.sampled_from(ANSWERS))
    def finish_together(self, answer: str) -> None:
        """A worker writes down many at once."""
        for each in self.held:
            self._ask(each, answer)
        with session_scope() as session:
            ended = [(each.claim, each.outcome) for each in self.held if each.outcome]
            record(session, ended, SCHEDULE, self.clock())
        self.held.clear()

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9))
    def die_before_sending(self, which: int) -> None:
        self.lost.append(self.held.pop(which % len(self.held)))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9), answer=st.sampled_from(ANSWERS))
    def die_before_writing_down(self, which: int, answer: str) -> None:
        each = self.held.pop(which % len(self.held))
        self._ask(each, answer)
        self.lost.append(each)

    @precondition(lambda self: self.lost)
    @rule(which=st.integers(0, 9), answer=st.sampled_from(ANSWERS))
    def wake_up_late(self, which: int, answer: str) -> None:
        """A worker that slept writes down what it knows: if another has the delivery by now, nothing."""
        each = self.lost.pop(which % len(self.lost))
        if each.outcome is None:
            self._ask(each, answer)
        self._write_down(each)

    def _ask(self, each: HeldClaim, answer: str) -> None:
        self.network.answer = answer
        with session_scope() as session:
            query = text("SELECT count(*) FROM attempts WHERE delivery_id = :id AND token = :token")
            values = {"id": each.claim.delivery.id, "token": each.claim.token}
            assert session.scalar(query, values) == 1, "an attempt is on record before it is made"
        is_mail = each.claim.delivery.action_type == "email"
        sender: Sender = self.network if is_mail else WebhookSender(self.network, 15.0)  # type: ignore[arg-type]
        each.outcome = self.runner.run(dispatch._attempt(each.claim, sender, get_settings()))

    def _write_down(self, each: HeldClaim) -> None:
        assert each.outcome is not None
        delivery_id = each.claim.delivery.id
        before, of_before = self._row(delivery_id), self._attempts_of(delivery_id)
        with session_scope() as session:
            record(session, [(each.claim, each.outcome)], SCHEDULE, self.clock())
        after = self._row(delivery_id)
        if before["lease_token"] != each.claim.token:
            assert (after, self._attempts_of(delivery_id)) == (before, of_before), "what comes too late changes nothing"
            return
        self._check_outcome(after, each.outcome)

    def _check_outcome(self, after: Row, outcome: AttemptResult) -> None:
        assert after["lease_token"] is None
        usable = after["action_id"] in self.enabled_actions()
        tries = after["attempt_count"] - after["retries_from"]
        again = outcome.outcome == "retry" and usable and after["type"] != "action.test" and tries <= len(SCHEDULE)
        if outcome.outcome == "succeeded":
            assert after["status"] == "succeeded"
        elif again:
            wait = max(SCHEDULE[tries - 1], outcome.retry_after_seconds or 0)
            waits = (after["next_attempt_at"] - self.clock()).total_seconds()
            assert after["status"] == "pending"
            assert wait <= waits <= wait * 1.2, "on the schedule, within the jitter"
        else:
            assert after["status"] == "failed"

    def _row(self, delivery_id: UUID) -> dict[str, Any]:
        with session_scope() as session:
            found = session.execute(text("SELECT * FROM deliveries WHERE id = :id"), {"id": delivery_id})
            return dict(found.mappings().one())

    def _attempts_of(self, delivery_id: UUID) -> list[dict[str, Any]]:
        with session_scope() as session:
            query = text("SELECT * FROM attempts WHERE delivery_id = :id ORDER BY id")
            return [dict(row) for row in session.execute(query, {"id": delivery_id}).mappings()]

    @rule(which=st.integers(0, 30))
    def retry_by_hand(self, which: int) -> None:
        failed = [row for row in self.deliveries() if row["status"] == "failed"]
        if not failed:
            return
        chosen = failed[which % len(failed)]
        there = chosen["action_id"] in self.action_ids()
        try:
            with session_scope() as session:
                retry(session, chosen["id"], self.clock())
        except Conflict:
            assert not there
        else:
            assert there, "through an action that is gone nothing can be sent"

    def _edit(self, which: int, change: Callable[[Session, UUID], object]) -> None:
        ids = self.action_ids()
        if ids:
            with session_scope() as session:
                change(session, ids[which % len(ids)])

    @rule(which=st.integers(0, 9), enabled=st.booleans())
    def switch(self, which: int, enabled: bool) -> None:
        self._edit(
            which, lambda session, id_: actions.patch(session, id_, {"enabled": enabled}, get_settings(), self.clock())
        )

    @rule(which=st.integers(0, 9))
    def delete(self, which: int) -> None:
        self._edit(which, lambda session, id_: actions.delete(session, id_, self.clock()))

    @rule(which=st.integers(0, 9))
    def edit_config(self, which: int) -> None:
        """Give it another secret, or other recipients: what is frozen stays as it is."""

        def change(session: Session, id_: UUID) -> None:
            action = actions.get(session, id_)
            config: JsonObject = {"url": "https://hooks.example.com/other", "secret": None}
            if action.action_type == "email":
                config = {"recipients": ["b@example.com", "c@example.com"]}
            actions.patch(session, id_, {"config": config}, get_settings(), self.clock())

        self._edit(which, change)

    @rule(which=st.integers(0, 9))
    def test_action(self, which: int) -> None:
        def change(session: Session, id_: UUID) -> None:
            ids = make_test(session, actions.get(session, id_), get_settings(), self.clock())
            self.held += [HeldClaim(each) for each in claim.claim_ids(session, ids, self.clock())]
            session.flush()
            session.expunge_all()

        self._edit(which, change)

    @rule()
    def look_for_digests(self) -> None:
        with session_scope() as session:
            fail_orphans(session, self.clock())
            bundle.release_due(session, get_settings(), self._withheld, self.clock())
            digest.make_due(session, get_settings(), self.clock())
        waiting = [row for row in self.deliveries() if row["bundle_until"] and not row["held_by"]]
        assert all(row["bundle_until"] > self.clock() for row in waiting), "a bundle that is over is let out"

    @rule(which=st.integers(0, 9), bundle_seconds=BUNDLES)
    def edit_bundle(self, which: int, bundle_seconds: int) -> None:
        """What waits already keeps its time."""
        changes = {"bundle_seconds": bundle_seconds}
        self._edit(which, lambda session, id_: actions.patch(session, id_, changes, get_settings(), self.clock()))

    # What must always hold

    @invariant()
    def promises_hold(self) -> None:
        self.promises.check(self.deliveries(), set(self.action_ids()), self.clock(), self.network.sent)


def small_limits(patch: Any) -> None:
    """Make the limits so small that a short story meets them."""
    patch.setattr(digest, "MAX_NOTIFICATIONS", 4)
    patch.setattr(limits, "BREAKER_THRESHOLD", 2)
    patch.setattr(limits, "BURST", 6)
    patch.setattr(limits, "DISABLE_MIN_DELIVERIES", 3)
