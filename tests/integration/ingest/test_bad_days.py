"""Twilio on a bad day, for as long as it lasts: how often it is asked, what moves meanwhile, what is read again."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from app import wake
from app.database import session_scope
from app.enums import LogType
from app.models import Alert
from app.services.evaluation import pipeline
from app.services.twilio import client
from scripts.twilio_simulator import Simulator, SimulatorServer
from scripts.twilio_simulator.accounts import AccountStatus
from scripts.twilio_simulator.faults import FaultKind
from tests.integration.ingest.world import START, World, minutes

FOR_EVER = 100_000
PAGE = 10


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages hold ten records, so that a list of 25 has three."""
    monkeypatch.setattr(client, "PAGE_SIZE", PAGE)


def _asked(world: World, part: str = "Messages") -> list[str]:
    """List the requests whose path and query contain this, and forget all."""
    found = [seen.target for seen in world.simulator.requests if part in seen.target]
    world.simulator.requests.clear()
    return found


@pytest.mark.parametrize(
    ("retry_after", "requests", "slept"),
    [(900, 1, (0, 0)), (7, client.MAX_TRIES, (28, 35)), (None, client.MAX_TRIES, (0, 15))],
    ids=["long", "short", "not told"],
)
def test_a_rate_limit_is_waited_out_and_not_hammered_at(
    world: World, retry_after: int | None, requests: int, slept: tuple[float, float]
) -> None:
    world.poll(LogType.MESSAGE)
    before = world.stream(LogType.MESSAGE)
    world.advance(minutes=10)
    sid = world.simulator.add_message()
    _asked(world)
    world.simulator.faults.add(FaultKind.RATE_LIMITED, times=FOR_EVER, retry_after_seconds=retry_after)
    world.tick(LogType.MESSAGE)
    assert len(_asked(world)) == requests
    assert slept[0] <= world.slept <= slept[1]
    stream = world.stream(LogType.MESSAGE)
    assert (stream.complete_until, stream.failures) == (before.complete_until, 1)
    assert "HTTP 429" in (stream.last_error or "")
    wait = stream.due_at - world.clock.now
    assert wait == timedelta(seconds=retry_after) if retry_after else wait > minutes(4)
    world.advance(seconds=wait.total_seconds() - 1)
    world.tick(LogType.MESSAGE)
    assert _asked(world) == [], "it is asked no earlier than it said"
    world.simulator.faults.clear()
    world.advance(seconds=1)
    world.tick(LogType.MESSAGE)
    assert sid in world.logs()
    assert world.stream(LogType.MESSAGE).failures == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"refuse_credentials": True}, "HTTP 401"), ({"status": AccountStatus.SUSPENDED}, "HTTP 403")],
    ids=["401", "403"],
)
def test_a_refused_credential_is_reported_by_state_and_alert_and_retried_slowly(
    world: World, changes: dict[str, Any], said: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(wake, "deliver", lambda: None)

    def play(hours: float) -> list[tuple[str, str]]:
        end = world.clock.now + timedelta(hours=hours)
        while world.clock.now < end:
            world.tick(LogType.CALL)
            world.advance(minutes=5)
        pipeline.evaluate_time(world.settings, world.clock.now, 60)
        with session_scope() as session:
            return [(alert.rule_name, alert.status) for alert in session.query(Alert)]

    world.poll()
    complete = world.stream(LogType.CALL).complete_until
    world.advance(minutes=5)
    world.simulator.set_account(**changes)
    world.simulator.requests.clear()
    assert play(3) == [("GiftPulse cannot read Twilio", "firing")]
    stream = world.stream(LogType.CALL)
    assert stream.complete_until == complete
    assert said in (stream.last_error or "")
    asked_at = [seen.at for seen in world.simulator.requests]
    gaps = [later - earlier for earlier, later in pairwise(asked_at[2:])]
    assert len(gaps) >= 8
    assert min(gaps) >= minutes(15)
    world.simulator.set_account(refuse_credentials=False, status=AccountStatus.ACTIVE)
    sid = world.simulator.add_call()
    play(0.5)
    assert sid in world.logs()
    assert world.stream(LogType.CALL).failures == 0


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.UNAVAILABLE,
        FaultKind.GATEWAY,
        FaultKind.RESET,
        FaultKind.CUT_BODY,
        FaultKind.CUT_JSON,
        FaultKind.HTML,
        FaultKind.EMPTY_BODY,
    ],
)
@pytest.mark.usefixtures("short_pages")
def test_a_third_page_that_fails_is_read_again_alone_and_nothing_is_complete_before(
    world: World, kind: FaultKind
) -> None:
    sids = {world.simulator.add_message(at=START - timedelta(seconds=n)) for n in range(25)}
    world.simulator.faults.add(kind, times=FOR_EVER, path="Page=2")
    world.poll(LogType.MESSAGE)
    stream = world.stream(LogType.MESSAGE)
    assert len(world.logs()) == 2 * PAGE, "the pages before it are kept"
    assert (stream.complete_until, stream.failures) == (None, 1)
    assert stream.last_error
    assert len(_asked(world)) == 2 + client.MAX_TRIES
    world.simulator.faults.clear()
    world.advance(minutes=5)
    world.poll(LogType.MESSAGE)
    assert set(world.logs()) == sids
    assert "Page=2" in _asked(world)[0]
    assert world.stream(LogType.MESSAGE).complete_until == START - timedelta(seconds=60)


@pytest.mark.usefixtures("short_pages")
def test_a_log_that_changes_between_two_pages_that_both_show_it_is_one_log_in_its_new_state(world: World) -> None:
    sids = [world.simulator.add_message(at=START - timedelta(seconds=n), status="sent") for n in range(15)]
    world.simulator.faults.add(FaultKind.DUPLICATES, path="Page=1")
    handle = world.simulator.handle

    def change_before_the_second_page(request: object) -> object:
        if "Page=1&" in request.target and world.simulator.record(sids[9]).record["status"] == "sent":  # type: ignore[attr-defined]
            world.simulator.change(sids[9], status="undelivered", error_code=30003)
        return handle(request)  # type: ignore[arg-type]

    world.simulator.handle = change_before_the_second_page  # type: ignore[assignment,method-assign]
    world.poll(LogType.MESSAGE)
    assert sorted(world.logs()) == sorted(sids)
    assert (world.log(sids[9]).status, world.log(sids[9]).error_code) == ("undelivered", 30003)
    assert [change.status for change in world.changes(sids[9])] == ["sent", "undelivered"]
    assert [change.status for change in world.changes(sids[8])] == ["sent"]


@pytest.mark.usefixtures("short_pages")
def test_pages_that_loop_for_ever_are_left_at_once_and_the_state_says_so(world: World) -> None:
    sids = {world.simulator.add_message(at=START - timedelta(seconds=n)) for n in range(25)}
    world.simulator.faults.add(FaultKind.LOOP, times=FOR_EVER, path="Page=1")
    world.poll(LogType.MESSAGE)
    assert len(_asked(world)) <= 3
    stream = world.stream(LogType.MESSAGE)
    assert "circle" in (stream.last_error or "")
    assert stream.complete_until is None
    world.simulator.faults.clear()
    world.poll(LogType.MESSAGE)
    assert set(world.logs()) == sids


@pytest.mark.usefixtures("short_pages")
@pytest.mark.parametrize("log_type", [LogType.MESSAGE, LogType.ERROR])
def test_a_next_page_on_another_host_is_refused_and_gets_no_request(world: World, log_type: LogType) -> None:
    add = getattr(world.simulator, f"add_{log_type}")
    sids = {add(at=START - timedelta(seconds=n)) for n in range(25)}
    other = Simulator()
    with SimulatorServer(other) as elsewhere:
        for url in (elsewhere.url, elsewhere.url.replace("http://", "http://user:password@")):
            world.simulator.faults.add(FaultKind.FOREIGN_LINK, path="Page=1", url=url)
            world.poll(log_type)
            stream = world.stream(log_type)
            assert "another host" in (stream.last_error or "")
            assert "password" not in (stream.last_error or "")
            assert stream.complete_until is None
    assert not other.requests
    world.poll(log_type)
    assert set(world.logs()) == sids
