"""Dependencies, silences, escalation and bundles together: random lives of alerts, told as the contract says.

The model is written anew from the contract, one alert at a time, and knows nothing of the product's functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app.config import get_settings
from app.database import session_scope
from app.enums import AlertStatus
from app.models import Alert, Delivery, Silence
from app.services.alerts import manual, silences
from app.services.alerts.recurrence import Validity
from app.services.outbox import bundle
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate
from tests.integration.alerts.stories import fail_at, make_action, make_rule
from tests.kits.databases import delete_all
from tests.profiles import examples

RENOTIFY, BUNDLE, WAIT = 4, 3, 5
RULES = ("cause", "dependent")
STATUSES = {"cause": "failed", "dependent": "undelivered"}
PLAIN, BUNDLING, WAITING, BOTH = ACTIONS = ("plain", "bundling", "waiting", "both")
FIELDS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    BUNDLING: {"bundle_seconds": 60 * BUNDLE},
    WAITING: {"after_minutes": WAIT},
    BOTH: {"after_minutes": WAIT, "bundle_seconds": 60 * BUNDLE},
}
OFTEN, SELDOM = ("fail", "silence", "wait"), ("acknowledge", "acknowledge for", "unacknowledge", "end", "resolve")
KINDS = st.one_of(st.sampled_from(OFTEN), st.sampled_from(SELDOM))
CHOSEN = st.sampled_from(["dependent", "dependent", "cause"])
EVENTS = st.lists(st.tuples(KINDS, CHOSEN, st.integers(1, 7)), min_size=12, max_size=24)
Told = tuple[str, str, str, int]
"""An action, a rule, what it was told, and at which minute."""


@dataclass
class Life:
    """One open alert in the model."""

    rule: str
    occurrences: int = 0
    acknowledged: bool = False
    acknowledged_until: int | None = None
    firing_at: int | None = None
    notified_at: int = 0
    notified_occurrences: int = 0
    waits_from: int | None = None
    told: set[str] = field(default_factory=set)
    bundled: dict[str, int] = field(default_factory=dict)
    """Action to the minute until which its firing waits in a bundle."""


class Model:
    """What the contract says of these alerts."""

    def __init__(self) -> None:
        self.open: dict[str, Life] = {}
        self.silenced: dict[str, list[tuple[int, int]]] = {rule: [] for rule in RULES}
        self.told: list[Told] = []

    def step(self, kind: str, rule: str, number: int, at: int) -> None:
        """Let an event happen, and everything that is due by then."""
        self.release(at)
        life = self.open.get(rule)
        if kind == "fail":
            life = self.open.setdefault(rule, Life(rule))
            life.occurrences += 1
        elif kind == "silence":
            self.silenced[rule].append((at, at + number))
        elif kind == "end":
            self.silenced[rule] = [(since, min(until, at)) for since, until in self.silenced[rule]]
        elif life is not None and kind.startswith("acknowledge"):
            life.acknowledged = True
            life.acknowledged_until = at + number if kind == "acknowledge for" else None
        elif life is not None and kind == "unacknowledge":
            life.acknowledged = False
        elif life is not None and kind == "resolve":
            self.resolve(life, at)
        for each in RULES:
            if each in self.open:
                self.decide(self.open[each], at)

    def release(self, at: int) -> None:
        for life in self.open.values():
            life.bundled = {action: until for action, until in life.bundled.items() if until > at}

    def resolve(self, life: Life, at: int) -> None:
        del self.open[life.rule]
        for action in life.bundled:
            life.told.discard(action)
            self.told.remove(next(each for each in reversed(self.told) if each[:3] == (action, life.rule, "firing")))
        self.told += [(action, life.rule, "resolved", at) for action in life.told]

    def decide(self, life: Life, at: int) -> None:
        if life.acknowledged and life.acknowledged_until is not None and life.acknowledged_until <= at:
            life.acknowledged = False
        held = any(since <= at < until for since, until in self.silenced[life.rule])
        if held or (life.rule == "dependent" and "cause" in self.open):
            life.waits_from = None
            return
        if life.firing_at is not None and life.waits_from is None:
            life.waits_from = at
        if life.acknowledged:
            return
        if life.firing_at is None:
            life.firing_at = life.notified_at = life.waits_from = at
            life.notified_occurrences = life.occurrences
            self.fire(life, (PLAIN, BUNDLING), at)
            return
        if life.occurrences > life.notified_occurrences and at >= life.notified_at + RENOTIFY:
            life.notified_at, life.notified_occurrences = at, life.occurrences
            self.told += [(action, life.rule, "update", at) for action in life.told - life.bundled.keys()]
        if life.waits_from is not None and life.waits_from + WAIT <= at:
            self.fire(life, [action for action in (WAITING, BOTH) if action not in life.told], at)

    def fire(self, life: Life, actions: Sequence[str], at: int) -> None:
        for action in actions:
            life.told.add(action)
            self.told.append((action, life.rule, "firing", at))
            if "bundle_seconds" in FIELDS[action]:
                others = [each.bundled[action] for each in self.open.values() if action in each.bundled]
                life.bundled[action] = max(others, default=at + BUNDLE)


class Product:
    """The same events, by the product's own functions."""

    def __init__(self) -> None:
        with session_scope() as session:
            delete_all(session)
        self.feed = Feed(START - timedelta(days=10))
        lasting = {"resolve_after_minutes": 10_000, "renotify_minutes": RENOTIFY, "cooldown_minutes": 0}
        cause = make_rule(name="cause", pattern_value=STATUSES["cause"], **lasting)
        dependent = make_rule(name="dependent", pattern_value=STATUSES["dependent"], depends_on=[str(cause)], **lasting)
        self.rules = {"cause": cause, "dependent": dependent}
        self.actions = {make_action(**FIELDS[name]): name for name in ACTIONS}

    def step(self, kind: str, rule: str, number: int, at: int) -> None:
        now = minutes(at)
        with session_scope() as session:
            bundle.release_due(session, get_settings(), now)
        if kind == "fail":
            fail_at(self.feed, at, status=STATUSES[rule])
        elif kind == "silence":
            with session_scope() as session:
                wanted = Validity(now, minutes(at + number), None)
                silences.create(session, self.rules[rule], {}, wanted, "works", "ann", now)
        elif kind == "end":
            with session_scope() as session:
                for each in session.scalars(select(Silence).where(Silence.rule_id == self.rules[rule])):
                    session.delete(each)
        elif (alert_id := self._open_alert(rule)) is not None:
            self._act(kind, alert_id, number, at)
        evaluate(now)

    def _open_alert(self, rule: str) -> UUID | None:
        with session_scope() as session:
            is_open = Alert.status != AlertStatus.RESOLVED
            return session.scalar(select(Alert.id).where(Alert.rule_id == self.rules[rule], is_open))

    def _act(self, kind: str, alert_id: UUID, number: int, at: int) -> None:
        with session_scope() as session:
            if kind == "acknowledge":
                manual.acknowledge(session, alert_id, "ann", None, get_settings(), minutes(at))
            elif kind == "acknowledge for":
                manual.acknowledge(session, alert_id, "ann", None, get_settings(), minutes(at), minutes(at + number))
            elif kind == "unacknowledge":
                manual.unacknowledge(session, alert_id, get_settings(), minutes(at))
            elif kind == "resolve":
                manual.resolve(session, alert_id, "ann", None, get_settings(), minutes(at))

    def told(self) -> list[Told]:
        query = select(Delivery.action_id, Alert.rule_name, Delivery.type, Delivery.created_at)
        with session_scope() as session:
            rows = session.execute(query.join(Alert, Alert.id == Delivery.alert_id).where(Alert.rule_id.is_not(None)))
            return [
                (
                    self.actions[row[0]],
                    row[1],
                    row[2].removeprefix("alert."),
                    round((row[3] - START).total_seconds() / 60),
                )
                for row in rows
            ]


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(30),
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(events=EVENTS)
def test_random_lives_are_told_as_the_contract_says(database: str, events: list[tuple[str, str, int]]) -> None:
    product, model = Product(), Model()
    at = 0
    for kind, rule, number in [("fail", "dependent", 1), *events]:
        at += number
        product.step(kind, rule, number, at)
        model.step(kind, rule, number, at)
        assert sorted(product.told()) == sorted(model.told), (at, kind, rule)
