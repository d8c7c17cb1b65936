"""The proof: Twilio at its worst for weeks, and at the end what is stored equals what it holds, record by record."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from app.database import session_scope
from app.enums import LogType
from app.services.logs.raw import raw_of
from scripts.twilio_simulator import DateFilters, Habits, Simulator, SimulatorClock
from scripts.twilio_simulator.faults import ODD_MARK, FaultKind
from scripts.twilio_simulator.wire import DETAIL_ONLY
from tests.integration.ingest.world import START, World, most_in_a_minute
from tests.kits.databases import delete_all
from tests.profiles import examples

HOURS = st.floats(0, 150, allow_nan=False)
DELAYS = st.sampled_from([0.0, 0.05, 0.16, 1.0, 7.0, 30.0, 50.0])
LATER = st.floats(0.01, 60, allow_nan=False)
ENDS: dict[str, list[dict[str, Any]]] = {
    "message": [
        {"status": "delivered"},
        {"status": "undelivered", "error_code": 30003},
        {"status": "failed", "error_code": 30001},
        {"price": "-0.00750", "num_segments": "2"},
    ],
    "call": [{"status": "completed", "duration": "12"}, {"status": "failed"}, {"price": "-0.01300"}],
}
STARTS: dict[str, list[dict[str, Any]]] = {
    "message": [
        {"status": "queued", "date_sent": None},
        {"status": "sent"},
        {"status": "delivered", "body": "ä\0\n\\"},
    ],
    "call": [{"status": "queued", "start_time": None, "end_time": None}, {"status": "ringing", "end_time": None}, {}],
    "error": [{}, {"log_level": "warning"}, {"alert_text": "plain text"}],
}


@st.composite
def stories(draw: st.DrawFn) -> dict[str, Any]:
    """Draw one record and what becomes of it."""
    kind = draw(st.sampled_from(sorted(STARTS)))
    hours = [] if kind == "error" else sorted(draw(st.lists(LATER, max_size=3)))
    changes = [(later, draw(st.sampled_from(ENDS[kind]))) for later in hours]
    start = draw(st.sampled_from(STARTS[kind]))
    return {"kind": kind, "at": draw(HOURS), "delay": draw(DELAYS), "start": start, "changes": changes}


WORST = [kind for kind in FaultKind if kind not in (FaultKind.HUGE, FaultKind.SLOW, FaultKind.FOREIGN_LINK)]


@pytest.mark.hunt
@settings(max_examples=examples(1), phases=[Phase.explicit, Phase.generate])
@given(
    drawn=st.lists(stories(), min_size=5, max_size=60),
    habits=st.builds(
        Habits,
        date_filters=st.sampled_from(list(DateFilters)),
        undated_pass=st.booleans(),
        error_moment=st.sampled_from(["date_created", "date_generated"]),
    ),
    share=st.sampled_from([0.0, 0.1, 0.3]),
    outage=st.tuples(st.floats(4, 100), st.sampled_from([0.0, 5.0, 40.0])),  # nobody watches before the first poll
    seed=st.integers(0, 1000),
)
@example(  # only sweeps find what becomes visible more than a day late
    drawn=[
        {"kind": kind, "at": at, "delay": 30.0, "start": STARTS[kind][-1], "changes": []}
        for at, kind in ((10.0, "message"), (20.0, "call"), (30.0, "error"))
    ],
    habits=Habits(),
    share=0.0,
    outage=(50.0, 0.0),
    seed=1,
)
@pytest.mark.timeout(3600)
def test_what_is_stored_equals_what_twilio_holds(
    world: World,
    drawn: list[dict[str, Any]],
    habits: Habits,
    share: float,
    outage: tuple[float, float],
    seed: int,
) -> None:
    begin_anew(world, seed)
    world.simulator.habits = habits
    if share:
        world.simulator.faults.at_random(share, seed, WORST)
    for story in drawn:
        schedule_record(world, story)
    play(world, 150, outage)
    world.simulator.faults.clear()
    play(world, 80, None)
    emitted = {record.sid: record for record in world.simulator.emitted()}
    logs = world.logs()
    assert {sid for sid in logs if ODD_MARK not in sid[:5]} == set(emitted)
    for sid, record in emitted.items():
        expected = {name: value for name, value in record.record.items() if name not in DETAIL_ONLY}
        if expected.get("body"):
            expected["body"] = expected["body"].replace("\0", "\ufffd")
        assert raw_of(logs[sid], world.simulator.account.sid) == expected
    assert most_in_a_minute(world) <= world.settings.twilio_max_requests_per_minute


def begin_anew(world: World, seed: int) -> None:
    """Each example has an empty database and a Twilio of its own."""
    with session_scope() as session:
        delete_all(session)
    world.simulator = Simulator(seed=seed, clock=SimulatorClock(frozen_at=START))
    world.server.simulator = world.simulator
    world.clock.now = START
    world.configured(twilio_max_requests_per_minute=30, poll_interval_seconds=3 * 3600)


def schedule_record(world: World, story: dict[str, Any]) -> None:
    """Let a record come into being when its time comes, and change when theirs comes."""
    at = START + timedelta(hours=story["at"])

    def add() -> None:
        fields = dict(story["start"])
        if story["kind"] == "message" and "date_sent" not in fields:
            fields["date_sent"] = at
        sid = getattr(world.simulator, f"add_{story['kind']}")(
            at=at, visible_after=timedelta(hours=story["delay"]), **fields
        )
        for hours, change in story["changes"]:
            world.simulator.change(sid, at=at + timedelta(hours=hours), **change)

    world.simulator.schedule(at, add)


def play(world: World, hours: float, outage: tuple[float, float] | None) -> None:
    """Let a worker poll what is due; during an outage it does not run."""
    end = world.clock.now + timedelta(hours=hours)
    down = None if outage is None else (START + timedelta(hours=outage[0]), START + timedelta(hours=sum(outage)))
    while world.clock.now < end:
        if down is None or not down[0] <= world.clock.now < down[1]:
            world.tick(*LogType)
        world.advance(seconds=world.settings.poll_interval_seconds)
