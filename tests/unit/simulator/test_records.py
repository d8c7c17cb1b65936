"""Records and their lists, without a socket."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scripts.twilio_simulator import Request, Simulator, SimulatorClock

NOW = datetime(2026, 3, 3, 9, 14, 2, tzinfo=UTC)


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(clock=SimulatorClock(frozen_at=NOW))


def ask(simulator: Simulator, target: str) -> Any:
    """Ask as the simulator's account, `{}` in the target being its sid."""
    account = simulator.account
    password = b64encode(f"{account.sid}:{account.auth_token}".encode()).decode()
    headers = {"authorization": f"Basic {password}", "host": "monitor.test"}
    response = simulator.handle(Request("GET", target.format(account.sid), headers))
    return json.loads(response.body)


def listed(simulator: Simulator, kind: str) -> list[Any]:
    page = ask(simulator, f"/2010-04-01/Accounts/{{}}/{kind}.json")
    return list(page[kind.lower()])


def test_the_moments_of_a_call_are_written_by_rfc_2822(simulator: Simulator) -> None:
    simulator.add_call()
    assert listed(simulator, "Calls")[0]["date_created"] == "Tue, 03 Mar 2026 09:14:02 +0000"


def test_a_list_links_to_its_next_page_by_the_last_sid(simulator: Simulator) -> None:
    for _ in range(3):
        simulator.add_message()
    page = ask(simulator, "/2010-04-01/Accounts/{}/Messages.json?PageSize=2&To=%2B14155550100")
    last = page["messages"][-1]["sid"]
    path = f"/2010-04-01/Accounts/{simulator.account.sid}/Messages.json"
    assert page["next_page_uri"] == f"{path}?To=%2B14155550100&PageSize=2&Page=1&PageToken=PA{last}"
    assert len(ask(simulator, page["next_page_uri"])["messages"]) == 1


def test_links_of_the_error_log_are_absolute(simulator: Simulator) -> None:
    for _ in range(2):
        simulator.add_error()
    page = ask(simulator, "/v1/Alerts?PageSize=1")
    assert page["meta"]["next_page_url"].startswith("http://monitor.test/v1/Alerts?PageSize=1&Page=1&PageToken=PANO")
    assert page["alerts"][0]["date_created"] == "2026-03-03T09:14:02Z"
    assert "response_body" not in page["alerts"][0]


def test_a_change_moves_date_updated_and_is_remembered(simulator: Simulator) -> None:
    sid = simulator.add_message(status="sent")
    simulator.clock.advance(60)
    simulator.change(sid, status="undelivered", error_code=30003)
    assert listed(simulator, "Messages")[0]["date_updated"] == "Tue, 03 Mar 2026 09:15:02 +0000"
    versions = [(item.at, item.status, item.error_code) for item in simulator.record(sid).versions]
    assert versions == [(NOW, "sent", None), (NOW + timedelta(minutes=1), "undelivered", 30003)]


def test_a_planned_change_happens_at_its_time(simulator: Simulator) -> None:
    sid = simulator.add_message(status="sent")
    simulator.change(sid, at=NOW + timedelta(hours=1), status="delivered")
    simulator.clock.advance(3599)
    assert listed(simulator, "Messages")[0]["status"] == "sent"
    simulator.clock.advance(timedelta(days=1))
    (message,) = listed(simulator, "Messages")
    assert (message["status"], message["date_updated"]) == ("delivered", "Tue, 03 Mar 2026 10:14:02 +0000")


def test_a_message_moves_to_its_place_when_it_is_sent(simulator: Simulator) -> None:
    planned = simulator.add_message(status="scheduled", date_sent=None)
    other = simulator.add_message(at=NOW + timedelta(minutes=1))
    simulator.clock.advance(120)
    assert [item["sid"] for item in listed(simulator, "Messages")] == [other, planned]
    simulator.change(planned, status="sent", date_sent=simulator.clock.now())
    assert [item["sid"] for item in listed(simulator, "Messages")] == [planned, other]


def test_odd_bytes_are_shown_as_they_are(simulator: Simulator) -> None:
    simulator.add_message(odd=b'{"sid":7}')
    assert listed(simulator, "Messages") == [{"sid": 7}]


def test_half_of_a_surrogate_pair_is_escaped_as_twilio_does(simulator: Simulator) -> None:
    simulator.add_message(body="a\ud800é\U0001f600", **{"from": "\udfff"})
    (message,) = listed(simulator, "Messages")
    assert (message["body"], message["from"]) == ("a\ud800é\U0001f600", "\udfff")


def test_everything_is_emitted_as_a_single_read_shows_it(simulator: Simulator) -> None:
    sids = [simulator.add_call(), simulator.add_message(), simulator.add_error()]
    emitted = simulator.emitted()
    assert [item.sid for item in emitted] == sids
    assert [item.kind.log_type for item in emitted] == ["call", "message", "error"]
    assert emitted[2].record == ask(simulator, f"/v1/Alerts/{sids[2]}")


def test_one_seed_makes_one_set_of_sids() -> None:
    first, second = (Simulator(seed=7, clock=SimulatorClock(frozen_at=NOW)) for _ in range(2))
    assert first.add_call() == second.add_call()
    assert first.add_call() != Simulator(seed=8).add_call()


def test_a_clock_can_stand_move_and_run_again() -> None:
    clock = SimulatorClock(frozen_at=NOW)
    assert clock.now() == clock.now() == NOW
    clock.advance(timedelta(weeks=2))
    assert clock.now() == NOW + timedelta(weeks=2)
    clock.resume()
    running = clock.set(NOW)
    assert NOW <= running < NOW + timedelta(seconds=5)
    assert clock.now() > running
