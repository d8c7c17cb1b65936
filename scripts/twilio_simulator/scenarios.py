"""Named incidents: each creates the records of one kind of problem, from a given time on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from scripts.twilio_simulator import lifecycles
from scripts.twilio_simulator.lifecycles import Fate
from scripts.twilio_simulator.plans import Maker, Plan


@dataclass(frozen=True)
class Scenario:
    """One kind of problem."""

    description: str
    make: Callable[[Maker, datetime], list[Plan]]
    stops_traffic_seconds: float = 0.0
    """Pauses ordinary traffic for this long."""


def _spread(maker: Maker, at: datetime, count: int, seconds: float) -> list[datetime]:
    return sorted(at + timedelta(seconds=maker.seconds(0, seconds)) for _ in range(count))


def _calls_unreachable(maker: Maker, at: datetime) -> list[Plan]:
    plans = []
    for index, moment in enumerate(_spread(maker, at, 6, 12)):
        call = lifecycles.call(maker, moment, "failed", to=lifecycles.number(maker, "GB"))
        code = (30003, 30001, 30002)[index % 3]
        noticed = moment + timedelta(seconds=call.steps[-1].after_seconds + 0.5)
        plans += [call, lifecycles.error(maker, noticed, code, resource_sid=call.fields["sid"])]
    return plans


def _unreachable_gb(maker: Maker, at: datetime) -> list[Plan]:
    fate = Fate("undelivered", 30003)
    moments = _spread(maker, at, 12, 20)
    return [lifecycles.outbound_message(maker, m, fate, to=lifecycles.number(maker, "GB")) for m in moments]


def _carrier_filtering(maker: Maker, at: datetime) -> list[Plan]:
    fate = Fate("undelivered", 30007)
    moments = _spread(maker, at, 25, 60)
    return [
        lifecycles.outbound_message(maker, m, fate, sender="+14155550124", to=lifecycles.number(maker, "US"))
        for m in moments
    ]


def _unregistered_sender(maker: Maker, at: datetime) -> list[Plan]:
    fate = Fate("failed", 30034)
    return [
        lifecycles.outbound_message(maker, m, fate, sender="+14155550123", to=lifecycles.number(maker, "US"))
        for m in _spread(maker, at, 8, 40)
    ]


def _webhook_down(maker: Maker, at: datetime) -> list[Plan]:
    plans = []
    for moment in _spread(maker, at, 10, 60):
        message = lifecycles.inbound_message(maker, moment)
        noticed = moment + timedelta(seconds=maker.seconds(0.5, 3.0))
        entry = lifecycles.error(
            maker, noticed, 11200, resource_sid=message.fields["sid"], url=lifecycles.SMS_URL, http_status=502
        )
        plans += [message, entry]
    return plans


def _sip_down(maker: Maker, at: datetime) -> list[Plan]:
    return [lifecycles.error(maker, m, 32011, level="warning") for m in _spread(maker, at, 8, 60)]


def _spend_surge(maker: Maker, at: datetime) -> list[Plan]:
    moments = _spread(maker, at, 200, 300)
    receivers = [f"+88299{maker.random.randrange(10**6):06}" for _ in moments]
    return [
        lifecycles.outbound_message(maker, m, lifecycles.DELIVERED, to=to)
        for m, to in zip(moments, receivers, strict=True)
    ]


def _nothing(_maker: Maker, _at: datetime) -> list[Plan]:
    return []


SCENARIOS = {
    "calls_unreachable": Scenario("Calls to GB fail; their error entries carry 30001 to 30003.", _calls_unreachable),
    "unreachable_gb": Scenario("Messages to GB are undelivered with 30003.", _unreachable_gb),
    "carrier_filtering": Scenario("A carrier filters one sender: 30007.", _carrier_filtering),
    "unregistered_sender": Scenario("One sender is not registered: 30034.", _unregistered_sender),
    "webhook_down": Scenario("Our webhook answers 502: 11200 for inbound messages.", _webhook_down),
    "sip_down": Scenario("Our SIP host cannot be reached: 32011, a warning without a call.", _sip_down),
    "spend_surge": Scenario("Two hundred messages to numbers that cost much.", _spend_surge),
    "traffic_stop": Scenario("No traffic for ten minutes.", _nothing, stops_traffic_seconds=600),
}
