"""Misbehaviour as an HTTP client meets it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from scripts.twilio_simulator import FaultKind, Simulator, SimulatorClock, SimulatorServer
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

NOW = datetime(2026, 3, 3, 9, 14, 2, tzinfo=UTC)
ALERTS = "/v1/Alerts"


@pytest.fixture
def simulator() -> Simulator:
    simulator = Simulator(clock=SimulatorClock(frozen_at=NOW))
    for n in range(6):
        simulator.add_message(at=NOW - timedelta(minutes=n))
        simulator.add_error(at=NOW - timedelta(minutes=n))
    return simulator


@pytest.fixture
def client(simulator: Simulator) -> Iterator[httpx.Client]:
    sign_in = (simulator.account.sid, simulator.account.auth_token)
    with (
        SimulatorServer(simulator) as server,
        httpx.Client(base_url=server.url, auth=sign_in, timeout=PATIENCE_SECONDS) as client,
    ):
        yield client


@pytest.fixture
def messages(simulator: Simulator) -> str:
    return f"/2010-04-01/Accounts/{simulator.account.sid}/Messages.json?PageSize=3"


def sids(page: Any) -> list[str]:
    return [record["sid"] for record in page["messages"]]


def test_a_limit_of_rate_may_say_when_to_come_again(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    simulator.faults.add("rate_limited")
    simulator.faults.add("rate_limited", retry_after_seconds=7)
    first, second, third = client.get(messages), client.get(messages), client.get(messages)
    assert (first.status_code, first.json()["code"], first.headers.get("retry-after")) == (429, 20429, None)
    assert (second.status_code, second.headers["retry-after"]) == (429, "7")
    assert third.status_code == 200


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [("unavailable", 500, "application/json"), ("gateway", 502, "text/html"), ("html", 200, "text/html")],
)
def test_answers_that_are_no_records(
    simulator: Simulator, client: httpx.Client, messages: str, kind: str, status: int, content_type: str
) -> None:
    simulator.faults.add(kind, status=status)
    response = client.get(messages)
    assert response.status_code == status
    assert response.headers["content-type"].startswith(content_type)


def test_a_fault_waits_for_its_path(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    simulator.faults.add("unavailable", times=2, path="/Messages.json")
    assert [client.get(path).status_code for path in (ALERTS, messages, ALERTS, messages, messages)] == [
        200,
        503,
        200,
        503,
        200,
    ]


def test_a_body_is_cut_while_it_is_sent(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    simulator.faults.add("cut_body")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(messages)
    assert client.get(messages).status_code == 200


def test_a_whole_answer_may_hold_half_a_document(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    simulator.faults.add("cut_json")
    with pytest.raises(json.JSONDecodeError):
        client.get(messages).json()


def test_a_connection_is_reset(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    simulator.faults.add("reset")
    with pytest.raises(httpx.ReadError):
        client.get(messages)
    assert client.get(messages).status_code == 200


@pytest.mark.parametrize("kind", ["slow", "stall"])
def test_a_slow_page_comes_too_late(simulator: Simulator, client: httpx.Client, messages: str, kind: str) -> None:
    simulator.faults.add(kind, seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        client.get(messages, timeout=httpx.Timeout(PATIENCE_SECONDS, read=0.1))


def test_a_huge_answer_is_streamed(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    simulator.faults.add("huge", size_bytes=20 * 1024 * 1024)
    with client.stream("GET", messages) as response:
        assert sum(len(chunk) for chunk in response.iter_bytes()) > 20 * 1024 * 1024


def test_a_next_link_may_lead_to_its_own_page(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    simulator.faults.add("loop", times=2)
    page = client.get(messages).json()
    assert sids(client.get(page["next_page_uri"]).json()) == sids(page)


def test_a_next_link_may_lead_to_a_stranger(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    simulator.faults.add("foreign_link", times=2)
    assert client.get(messages).json()["next_page_uri"].startswith("https://elsewhere.example.com/2010-04-01/")
    assert client.get(ALERTS).json()["meta"]["next_page_url"].startswith("https://elsewhere.example.com/v1/")


def test_an_empty_page_may_have_a_next_one(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    simulator.faults.add("empty_page")
    page = client.get(messages).json()
    assert page["messages"] == []
    assert len(client.get(page["next_page_uri"]).json()["messages"]) == 3


def test_records_of_one_page_come_again_on_the_next(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    first = client.get(messages).json()
    simulator.faults.add("duplicates")
    second = client.get(first["next_page_uri"]).json()
    assert sids(second)[:2] == sids(first)[1:]
    assert len(second["messages"]) == 5


def test_malformed_records_are_sent_among_good_ones(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    good = client.get(messages).json()["messages"]
    simulator.faults.add("odd_records")
    records = client.get(messages).json()["messages"]
    assert records[-3:] == good
    assert None in records


def test_one_seed_brings_the_same_faults(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    def statuses() -> list[int]:
        simulator.faults.at_random(0.5, seed=3, kinds=[FaultKind.RATE_LIMITED, FaultKind.UNAVAILABLE])
        return [client.get(messages).status_code for _ in range(20)]

    first = statuses()
    assert set(first) == {200, 429, 503}
    assert statuses() == first
    simulator.faults.clear()
    assert client.get(messages).status_code == 200


def test_too_many_requests_at_once_are_refused(simulator: Simulator, client: httpx.Client, messages: str) -> None:
    simulator.concurrency_limit = 1
    simulator.faults.add("slow", seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        client.get(messages, timeout=httpx.Timeout(PATIENCE_SECONDS, read=0.2))
    wait_until(lambda: bool(simulator.requests), "the first is being answered")
    assert client.get(messages).status_code == 429


def test_answers_carry_the_headers_that_twilio_sends(client: httpx.Client, messages: str) -> None:
    headers = client.get(messages).headers
    assert headers["twilio-request-id"].startswith("RQ")
    assert headers["twilio-concurrent-requests"] == "1"
