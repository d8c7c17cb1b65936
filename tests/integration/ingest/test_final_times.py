"""Times to final, from reading to statistics: what was found late has none, whatever Twilio says of it later."""

from datetime import timedelta
from typing import Any

from app.database import session_scope
from app.enums import LogType
from app.services.logs import stats
from app.services.logs.search import LogFilter
from tests.integration.ingest.world import START, World, minutes

SENT: dict[str, Any] = {"status": "sent", "price": None}


def median(since: timedelta, until: timedelta) -> tuple[int, float | None]:
    """The final messages of a span, and the median of their times."""
    wanted = LogFilter(log_type=(LogType.MESSAGE,), since=START + since, until=START + until)
    with session_scope() as session:
        rows = stats.Snapshot(session).delivery(wanted, "day")
    return sum(row.final for row in rows), next((float(row.p50) for row in rows if row.p50 is not None), None)


def test_only_messages_that_were_seen_in_time_have_a_time(world: World) -> None:
    old = world.simulator.add_message(at=START - minutes(60), **SENT)
    world.simulator.change(old, at=START - minutes(60) + timedelta(seconds=10), status="delivered")
    world.simulator.change(old, at=START - minutes(44), price="-0.00750")
    world.poll(LogType.MESSAGE)
    assert median(-minutes(120), minutes(0)) == (1, None), "a first look"
    for number in range(3):
        at = world.advance(minutes=5)
        sid = world.simulator.add_message(at=at, **SENT)
        world.simulator.change(sid, at=at + timedelta(seconds=10 + number), status="delivered")
        world.simulator.change(sid, at=at + minutes(15), price="-0.00750")
        world.advance(minutes=1)
        world.poll(LogType.MESSAGE)
    assert median(minutes(0), minutes(60)) == (3, 11.0), "live"
    world.advance(minutes=20)
    world.poll(LogType.MESSAGE)
    assert median(minutes(0), minutes(60)) == (3, 11.0), "prices came"
    at = world.advance(minutes=1)
    stuck = world.simulator.add_message(at=at, **SENT)
    world.poll(LogType.MESSAGE)
    world.simulator.change(stuck, at=at + timedelta(seconds=30), status="delivered")
    world.simulator.change(stuck, at=at + minutes(16), price="-0.00750")
    world.advance(hours=5)
    world.poll(LogType.MESSAGE)
    assert median(minutes(0), minutes(60)) == (4, 11.0), "an outage"
