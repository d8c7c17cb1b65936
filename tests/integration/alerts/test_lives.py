"""Dependencies, silences, escalation and bundles together: random lives of alerts, told as the contract says.

The model is written anew from the contract, one alert at a time, and knows nothing of the product's functions.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from app.config import get_settings
from app.database import session_scope
from app.enums import AlertStatus
from app.models import Alert, Delivery, Silence
from app.services.alerts import manual, silences
from app.services.alerts.recurrence import Validity
from app.services.alerts.withholding import withheld
from app.services.outbox import bundle
from tests.fakes import START, minutes
from tests.feeding import Feed, evaluate
from tests.integration.alerts.stories import fail_at, make_action, make_rule
from tests.kits.databases import delete_all
from tests.profiles import examples

RENOTIFY, BUNDLE, WAIT = 4, 3, 5
CAUSES = ("cause in A", "cause in B")
DEPENDENT = "dependent"
NAMES = (*CAUSES, DEPENDENT)
"""The alerts that there may be: the causes are grouped by account, what depends on them is not."""
SIDS = ("AC" + "a" * 32, "AC" + "b" * 32)
PLAIN, BUNDLING, WAITING, BOTH = ACTIONS = ("plain", "bundling", "waiting", "both")
FIELDS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    BUNDLING: {"bundle_seconds": 60 * BUNDLE},
    WAITING: {"after_minutes": WAIT},
    BOTH: {"after_minutes": WAIT, "bundle_seconds": 60 * BUNDLE},
}
ZONES = ("UTC", "America/Denver", "America/Chicago", "Asia/Kolkata", "Pacific/Auckland")
"""Near midnight when the stories begin, half an hour off, a day ahead; none changes its clocks meanwhile."""
OFTEN, SELDOM = ("fail", "silence", "wait"), ("acknowledge", "acknowledge for", "unacknowledge", "end", "resolve")
REPEATED = ("repeat", "leap")
KINDS = st.one_of(st.sampled_from(OFTEN), st.sampled_from(SELDOM), st.sampled_from(REPEATED))


class Happening(NamedTuple):
    """Something that happens to an alert, some minutes after what happened before."""

    kind: str
    name: str
    number: int
    account: int
    zone: str

    @property
    def minutes(self) -> int:
        """A leap leads to about the same time of the next day."""
        return DAY - 4 + self.number if self.kind == "leap" else self.number


DAY = 24 * 60
EVENTS = st.lists(
    st.builds(
        Happening,
        KINDS,
        st.sampled_from([DEPENDENT, DEPENDENT, *CAUSES]),
        st.integers(1, 7),
        st.integers(0, 1),
        st.sampled_from(ZONES),
    ),
    min_size=12,
    max_size=24,
)
Told = tuple[str, str, str, int]
"""An action, an alert, what it was told, and at which minute."""


class Daily(NamedTuple):
    """A silence that repeats each day, or each week on this day, from a minute on."""

    since: int
    zone: str
    begins: datetime
    """The first time, by the clock on the wall."""
    length: int
    weekly: bool

    @classmethod
    def of(cls, event: Happening, at: int) -> "Daily":
        begins = minutes(at + event.account).astimezone(ZoneInfo(event.zone)).replace(tzinfo=None)
        return cls(at, event.zone, begins, event.number, event.number % 3 == 0)

    def repeat(self) -> dict[str, Any]:
        """The same as the API takes it."""
        ends = self.begins + timedelta(minutes=self.length)
        days = [self.begins.strftime("%a").lower()] if self.weekly else []
        return {"timezone": self.zone, "days": days, "start": f"{self.begins:%H:%M}", "end": f"{ends:%H:%M}"}

    def holds(self, at: int) -> bool:
        wall = minutes(at).astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        days, rest = divmod(wall - self.begins, timedelta(days=1))
        # What began on the day before holds past midnight; by the clock alone that is no different.
        on_its_day = days >= 0 and (not self.weekly or days % 7 == 0)
        return at >= self.since and on_its_day and rest < timedelta(minutes=self.length)


class Once(NamedTuple):
    """A silence from one minute to another."""

    since: int
    until: int

    def holds(self, at: int) -> bool:
        return self.since <= at < self.until


@dataclass
class Life:
    """One open alert in the model."""

    name: str
    started_at: int
    accounts: set[int] = field(default_factory=set)
    occurrences: int = 0
    acknowledged: bool = False
    acknowledged_until: int | None = None
    suppressed_by: str | None = None
    firing_at: int | None = None
    notified_at: int = 0
    notified_occurrences: int = 0
    waits_from: int | None = None
    told: set[str] = field(default_factory=set)
    bundled: dict[str, int] = field(default_factory=dict)
    """Action to the minute until which its firing waits in a bundle."""
    held: set[str] = field(default_factory=set)
    """Actions whose bundle was over while something withheld the alert."""


class Model:
    """What the contract says of these alerts."""

    def __init__(self) -> None:
        self.open: dict[str, Life] = {}
        self.silences: dict[str, list[Once | Daily]] = {name: [] for name in NAMES}
        self.told: list[Told] = []

    def step(self, event: Happening, at: int) -> None:
        """Let an event happen, and everything that is due by then."""
        kind, name = event.kind, event.name
        self.release(at)
        life = self.open.get(name)
        if kind == "fail":
            life = self.open.setdefault(name, Life(name, at))
            life.occurrences += 1
            life.accounts.add(event.account if name == DEPENDENT else CAUSES.index(name))
        elif kind == "silence":
            self.silences[name].append(Once(at, at + event.number))
        elif kind == "repeat":
            self.silences[name].append(Daily.of(event, at))
        elif kind == "end":
            self.silences[name].clear()
        elif life is not None and kind.startswith("acknowledge"):
            life.acknowledged = True
            life.acknowledged_until = at + event.number if kind == "acknowledge for" else None
        elif life is not None and kind == "unacknowledge":
            life.acknowledged = False
        elif life is not None and kind == "resolve":
            self.resolve(life, at)
        for each in NAMES:
            if each in self.open:
                self.decide(self.open[each], at)

    def release(self, at: int) -> None:
        """Let the bundles out that are over; what is withheld at that moment is held."""
        for life in self.open.values():
            over = {action for action, until in life.bundled.items() if until <= at}
            life.bundled = {action: until for action, until in life.bundled.items() if until > at}
            if self.is_held(life, at) or (life.acknowledged and not self.has_run_out(life, at)):
                life.held |= over
                life.told -= over

    @staticmethod
    def has_run_out(life: Life, at: int) -> bool:
        return life.acknowledged_until is not None and life.acknowledged_until <= at

    def is_held(self, life: Life, at: int) -> bool:
        silenced = any(silence.holds(at) for silence in self.silences[life.name])
        return silenced or self.suppressor(life) is not None

    def suppressor(self, life: Life) -> str | None:
        """Of the open causes that together cover all its accounts, the oldest."""
        causes = [self.open[name] for name in CAUSES if name in self.open] if life.name == DEPENDENT else []
        fitting = [cause for cause in causes if cause.accounts & life.accounts]
        if not life.accounts <= {account for cause in fitting for account in cause.accounts} or not fitting:
            return None
        return min(fitting, key=lambda cause: cause.started_at).name

    def resolve(self, life: Life, at: int) -> None:
        del self.open[life.name]
        for action in {*life.bundled, *life.held}:
            life.told.discard(action)
            self.forget_firing(life, action)
        self.told += [(action, life.name, "resolved", at) for action in life.told]

    def forget_firing(self, life: Life, action: str) -> None:
        self.told.remove(next(each for each in reversed(self.told) if each[:3] == (action, life.name, "firing")))

    def decide(self, life: Life, at: int) -> None:
        if life.acknowledged and self.has_run_out(life, at):
            life.acknowledged = False
        life.suppressed_by = self.suppressor(life)
        if self.is_held(life, at):
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
            self.told += [(action, life.name, "update", at) for action in life.told - life.bundled.keys()]
        self.fire(life, life.held & {BUNDLING}, at)
        if life.waits_from is not None and life.waits_from + WAIT <= at:
            self.fire(life, [action for action in (WAITING, BOTH) if action not in life.told], at)

    def fire(self, life: Life, actions: Collection[str], at: int) -> None:
        for action in actions:
            if action in life.held:
                life.held.remove(action)
                self.forget_firing(life, action)
            life.told.add(action)
            self.told.append((action, life.name, "firing", at))
            if "bundle_seconds" in FIELDS[action]:
                others = [each.bundled[action] for each in self.open.values() if action in each.bundled]
                life.bundled[action] = max(others, default=at + BUNDLE)


class Product:
    """The same events, by the product's own functions."""

    def __init__(self) -> None:
        with session_scope() as session:
            delete_all(session)
        self.feeds = [Feed(START - timedelta(days=10), sid) for sid in SIDS]
        lasting = {"resolve_after_minutes": 40_000, "renotify_minutes": RENOTIFY, "cooldown_minutes": 0}
        cause = make_rule(name="cause", pattern_value="failed", group_by=["account_sid"], **lasting)
        self.rules = dict.fromkeys(CAUSES, cause)
        self.rules[DEPENDENT] = make_rule(name=DEPENDENT, depends_on=[str(cause)], **lasting)
        self.groups: dict[str, dict[str, Any]] = {
            name: {"account_sid": sid} for name, sid in zip(CAUSES, SIDS, strict=True)
        }
        self.actions = {make_action(**FIELDS[name]): name for name in ACTIONS}
        self.silences: dict[str, list[UUID]] = {name: [] for name in NAMES}

    def step(self, event: Happening, at: int) -> None:
        now = minutes(at)
        for feed in self.feeds:
            feed.complete(now)
        with session_scope() as session:
            bundle.release_due(session, get_settings(), withheld, now)
            # A worker sends what is due at once.
            sendable = (Delivery.status == "pending") & Delivery.bundle_until.is_(None)
            session.execute(update(Delivery).where(sendable).values(status="succeeded", next_attempt_at=None))
        self._act(event, at)
        evaluate(now)

    def _act(self, event: Happening, at: int) -> None:
        name = event.name
        if event.kind == "fail":
            account = event.account if name == DEPENDENT else CAUSES.index(name)
            status = "undelivered" if name == DEPENDENT else "failed"
            fail_at(self.feeds[account], at, status=status)
        elif event.kind == "silence":
            self._silence(name, Validity(minutes(at), minutes(at + event.number), None), at)
        elif event.kind == "repeat":
            self._silence(name, Validity(minutes(at), None, Daily.of(event, at).repeat()), at)
        elif event.kind == "end":
            with session_scope() as session:
                session.execute(delete(Silence).where(Silence.id.in_(self.silences[name])))
        elif (alert_id := self._open_alerts().get(name)) is not None:
            self._handle(event, alert_id, at)

    def _silence(self, name: str, wanted: Validity, at: int) -> None:
        with session_scope() as session:
            group = self.groups.get(name, {})
            made = silences.create(session, self.rules[name], group, wanted, "works", "ann", minutes(at))
            self.silences[name].append(made.id)

    def _open_alerts(self) -> dict[str, UUID]:
        with session_scope() as session:
            rows = session.scalars(select(Alert).where(Alert.status != AlertStatus.RESOLVED))
            return {self._name(alert): alert.id for alert in rows}

    def _name(self, alert: Alert) -> str:
        return next(
            name for name in NAMES if (self.rules[name], self.groups.get(name, {})) == (alert.rule_id, alert.group)
        )

    def _handle(self, event: Happening, alert_id: UUID, at: int) -> None:
        now, until = minutes(at), minutes(at + event.number)
        with session_scope() as session:
            if event.kind == "acknowledge":
                manual.acknowledge(session, alert_id, "ann", None, get_settings(), now)
            elif event.kind == "acknowledge for":
                manual.acknowledge(session, alert_id, "ann", None, get_settings(), now, until)
            elif event.kind == "unacknowledge":
                manual.unacknowledge(session, alert_id, get_settings(), now)
            elif event.kind == "resolve":
                manual.resolve(session, alert_id, "ann", None, get_settings(), now)

    def told(self) -> list[Told]:
        query = select(Delivery, Alert).join(Alert, Alert.id == Delivery.alert_id)
        with session_scope() as session:
            return [
                (
                    self.actions[delivery.action_id],
                    self._name(alert),
                    delivery.type.removeprefix("alert."),
                    round((delivery.created_at - START).total_seconds() / 60),
                )
                for delivery, alert in session.execute(query)
            ]

    def suppressed(self) -> dict[str, str]:
        """By what each open alert is suppressed."""
        with session_scope() as session:
            rows = session.scalars(select(Alert)).all()
            names = {alert.id: self._name(alert) for alert in rows}
            return {
                names[alert.id]: names[alert.suppressed_by]
                for alert in rows
                if alert.suppressed_by and alert.status != AlertStatus.RESOLVED
            }


@pytest.mark.hunt
@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(15),
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(events=EVENTS)
def test_random_alerts_notify_as_documented(database: str, events: list[Happening]) -> None:
    product, model = Product(), Model()
    at = 0
    for event in [Happening("fail", DEPENDENT, 1, 0, "UTC"), *events]:
        at += event.minutes
        product.step(event, at)
        model.step(event, at)
        assert sorted(product.told()) == sorted(model.told), (at, event)
        by = {name: life.suppressed_by for name, life in model.open.items() if life.suppressed_by}
        assert product.suppressed() == by, (at, event)
