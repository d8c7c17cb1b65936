"""Hundreds of thousands of messages in seconds, for benchmarks: each is written into a JSON template."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache

from scripts.twilio_simulator import lifecycles, wire
from scripts.twilio_simulator.lifecycles import Fate
from scripts.twilio_simulator.plans import Maker
from scripts.twilio_simulator.records import EncodedMessage
from scripts.twilio_simulator.simulator import Simulator
from scripts.twilio_simulator.wire import Fields, Kind

TEMPLATES = 500
"""The number of different outcomes, texts and senders."""


def add_messages(
    simulator: Simulator,
    count: int,
    *,
    newest_at: datetime | None = None,
    spacing_seconds: float = 0.1,
    failing: float = 0.05,
    change: Callable[[int], Fields] | None = None,
) -> list[str]:
    """Add messages of the simulator's account, final and priced.

    Args:
        newest_at: when the last one was sent; default: now. The others precede it at equal distances.
        failing: the share that was undelivered or failed, with codes that Twilio uses.
        change: further fields of the n-th template, 0 to 499, for example a body for a rule to find.
    Returns: their SIDs, oldest first.
    """
    maker = Maker(f"{simulator.seed}/bulk/{simulator.new_sid('')}")
    account_sid, newest = simulator.account.sid, newest_at or simulator.clock.now()
    templates = [_template(maker, account_sid, newest, failing, change(n) if change else {}) for n in range(TEMPLATES)]
    messages = []
    for index in range(count):
        at = (newest - timedelta(seconds=(count - 1 - index) * spacing_seconds)).replace(microsecond=0)
        sid = maker.sid("SM")
        values = {b"sid": sid.encode(), b"at": _written(at), b"to": f"+44770090{index % 10000:04}".encode()}
        messages.append(EncodedMessage(account_sid, sid, at, templates[index % TEMPLATES] % values))
    simulator.add_encoded(messages)
    return [message.sid for message in messages]


def _template(maker: Maker, account_sid: str, at: datetime, failing: float, change: Fields) -> bytes:
    fate = Fate("undelivered", maker.random.choice((30003, 30005, 30006, 30007, 30008)))
    end = fate if maker.chance(failing) else lifecycles.DELIVERED
    fields = wire.message(account_sid, "%(sid)b", at) | {
        "to": "%(to)b",
        "from": maker.random.choice(lifecycles.SENDERS),
        "body": maker.random.choice(lifecycles.TEXTS).format(maker.random.randrange(10**6)),
        "status": end.status,
        "error_code": end.error_code,
        "price": "-0.00750",
    }
    moments = dict.fromkeys(("date_created", "date_sent", "date_updated"), "%(at)b")
    escaped = {name: value.replace("%", "%%") if isinstance(value, str) else value for name, value in change.items()}
    return wire.encode(Kind.MESSAGE, fields | moments | escaped)


@lru_cache(maxsize=1024)
def _written(at: datetime) -> bytes:
    return wire.rfc2822(at).encode()
