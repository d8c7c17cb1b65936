"""Steady generated traffic with incidents. Every minute depends only on the seed and its own number."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import cos, pi

from scripts.twilio_simulator import lifecycles
from scripts.twilio_simulator.plans import Maker, Plan, carry_out
from scripts.twilio_simulator.scenarios import SCENARIOS
from scripts.twilio_simulator.simulator import Simulator

MINUTE = timedelta(minutes=1)
QUIET_HOUR = 3
"""The hour of the day, UTC, with the least traffic."""
HISTORY_SPARES = 20
"""Before the demo began, incidents were this many times rarer."""
LATEST = 6 * 3600.0
"""Seconds after which lists show even a late record."""
ORDINARY_ERRORS = ((12200, "warning"), (13224, "error"), (15003, "warning"), (11205, "error"))


@dataclass(frozen=True)
class Recurring:
    """A recurring incident of the demo."""

    scenario: str
    first_after_seconds: float
    every_seconds: float


NEVER_AGAIN = 10.0**9
FIRST_MINUTE = (6, 22, 40, 58)
"""The demo's first incident is repeated: anyone who starts watching seconds later sees one within the minute."""
DEMO_INCIDENTS = (
    *(Recurring("calls_unreachable", seconds, NEVER_AGAIN) for seconds in FIRST_MINUTE),
    Recurring("calls_unreachable", 240, 240),
    Recurring("unreachable_gb", 8, NEVER_AGAIN),
    Recurring("unreachable_gb", 32, 420),
    Recurring("webhook_down", 100, 660),
    Recurring("carrier_filtering", 200, 900),
    Recurring("sip_down", 400, 1500),
    Recurring("unregistered_sender", 700, 1800),
    Recurring("spend_surge", 1500, 7200),
    Recurring("traffic_stop", 3000, 14400),
)


@dataclass(frozen=True)
class Rates:
    """The average amount of ordinary traffic."""

    messages_per_minute: float = 6.0
    calls_per_minute: float = 2.0
    errors_per_minute: float = 0.1
    late_share: float = 0.0
    """The share of records that lists show only minutes or hours after their creation."""


class Traffic:
    """Fills a simulator with traffic, minute by minute as its clock advances."""

    def __init__(
        self,
        simulator: Simulator,
        began_at: datetime,
        rates: Rates | None = None,
        incidents: tuple[Recurring, ...] = DEMO_INCIDENTS,
        kept: timedelta = timedelta(days=3),
    ) -> None:
        """Prepare; nothing happens before `start`.

        Args:
            began_at: the time that incidents are relative to: the same after a restart gives the same history.
            kept: older records are dropped.
        """
        self.simulator, self.began_at, self.rates, self.incidents, self.kept = (
            simulator,
            began_at,
            rates or Rates(),
            incidents,
            kept,
        )
        self._manual = 0
        self._stopped_until = datetime.min.replace(tzinfo=UTC)

    def start(self, history: timedelta) -> None:
        """Create the history before now, and continue from there."""
        now = self.simulator.clock.now()
        first = max(self.began_at - history, now - self.kept).replace(second=0, microsecond=0)
        self.simulator.schedule(first, lambda: self._minute(first))
        self.simulator.settle()

    def begin(self, scenario: str) -> int:
        """Start an incident now; return its number of records."""
        with self.simulator.lock:
            self._manual += 1
            now = self.simulator.clock.now()
            return self._incident(
                scenario, Maker(f"{self.simulator.seed}/{scenario}/{now.isoformat()}/{self._manual}"), now
            )

    def set_rates(self, **rates: float) -> None:
        """Change the amount of traffic from the next minute on."""
        with self.simulator.lock:
            self.rates = replace(self.rates, **rates)

    def _minute(self, at: datetime) -> None:
        """Schedule the events of a minute, and the planning of the next."""
        for recurring in self.incidents:
            for moment in self._moments(recurring, at):
                label = f"{self.simulator.seed}/{recurring.scenario}/{moment.isoformat()}"
                self._incident(recurring.scenario, Maker(label), moment)
        if at >= self._stopped_until:
            self._ordinary(Maker(f"{self.simulator.seed}/{at.isoformat()}"), at)
        if at.minute == 0:
            self.simulator.forget(at - self.kept)
        self.simulator.schedule(at + MINUTE, lambda: self._minute(at + MINUTE))

    def _moments(self, recurring: Recurring, minute: datetime) -> Iterator[datetime]:
        since = (minute - self.began_at).total_seconds() - recurring.first_after_seconds
        round_number = int(-(-since // recurring.every_seconds))
        while round_number * recurring.every_seconds < since + 60:
            if round_number >= 0 or round_number % HISTORY_SPARES == 0:
                yield self.began_at + timedelta(
                    seconds=recurring.first_after_seconds + round_number * recurring.every_seconds
                )
            round_number += 1

    def _incident(self, name: str, maker: Maker, at: datetime) -> int:
        scenario = SCENARIOS[name]
        if scenario.stops_traffic_seconds:
            self._stopped_until = max(self._stopped_until, at + timedelta(seconds=scenario.stops_traffic_seconds))
        plans = scenario.make(maker, at)
        self._carry_out(maker, plans)
        return len(plans)

    def _ordinary(self, maker: Maker, at: datetime) -> None:
        share = 1.0 - 0.6 * cos((at.hour + at.minute / 60 - QUIET_HOUR) / 12 * pi)
        messages, calls, errors = (
            _arrivals(maker, at, rate * share)
            for rate in (self.rates.messages_per_minute, self.rates.calls_per_minute, self.rates.errors_per_minute)
        )
        plans = [_message(maker, moment) for moment in messages]
        plans += [lifecycles.call(maker, moment) for moment in calls]
        plans += [plan for moment in errors for plan in _call_with_error(maker, moment)]
        self._carry_out(maker, plans)

    def _carry_out(self, maker: Maker, plans: list[Plan]) -> None:
        for plan in plans:
            shown = (
                replace(plan, visible_after=maker.seconds(60, LATEST)) if maker.chance(self.rates.late_share) else plan
            )
            carry_out(self.simulator, shown, self.simulator.account.sid)


def _arrivals(maker: Maker, minute: datetime, rate: float) -> list[datetime]:
    count = int(rate) + maker.chance(rate - int(rate))
    return [minute + timedelta(seconds=maker.seconds(0, 60)) for _ in range(count)]


def _call_with_error(maker: Maker, at: datetime) -> list[Plan]:
    call = lifecycles.call(maker, at, "completed")
    code, level = maker.random.choice(ORDINARY_ERRORS)
    noticed = at + timedelta(seconds=maker.seconds(3, 20))
    return [call, lifecycles.error(maker, noticed, code, resource_sid=call.fields["sid"], level=level)]


def _message(maker: Maker, at: datetime) -> Plan:
    if maker.chance(0.12):
        return lifecycles.inbound_message(maker, at)
    send_after = maker.seconds(900, 5400) if maker.chance(0.005) else 0.0
    return lifecycles.outbound_message(maker, at, send_after=send_after)
