"""What the error log's list leaves out is read when somebody looks."""

import pytest

from app.enums import LogType
from app.services.ingest import error_details
from app.services.logs.raw import raw_of
from scripts.twilio_simulator.faults import FaultKind
from tests.integration.ingest.world import World


def test_the_request_and_answer_of_an_entry_are_read_once(world: World) -> None:
    sid = world.simulator.add_error(response_body="<html>502</html>", request_variables="CallSid=CA1")
    world.poll(LogType.ERROR)
    before = world.requests()
    for _ in range(2):
        error_details.fetch_once(world.log(sid).account_id, sid, world.settings)
    assert world.requests() == before + 1
    raw = raw_of(world.log(sid), world.simulator.account.sid)
    assert raw == world.simulator.record(sid).record
    world.poll(LogType.ERROR)
    assert raw_of(world.log(sid), world.simulator.account.sid) == raw


@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.UNAVAILABLE, FaultKind.RESET, FaultKind.REFUSED])
def test_an_entry_is_shown_without_details_if_twilio_omits_them(world: World, kind: FaultKind) -> None:
    sid = world.simulator.add_error()
    world.poll(LogType.ERROR)
    world.simulator.faults.add(kind)
    error_details.fetch_once(world.log(sid).account_id, sid, world.settings)
    assert "response_body" not in raw_of(world.log(sid), world.simulator.account.sid)


def test_they_are_not_read_where_bodies_are_not_to_be_stored(world: World) -> None:
    world.configured(store_message_bodies=False)
    sid = world.simulator.add_error()
    world.poll(LogType.ERROR)
    before = world.requests()
    error_details.fetch_once(world.log(sid).account_id, sid, world.settings)
    assert world.requests() == before
