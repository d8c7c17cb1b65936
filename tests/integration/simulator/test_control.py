"""A simulator that runs as a process, and is told over HTTP what to be."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scripts.twilio_simulator import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN, Simulator, SimulatorServer
from tests.kits.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[3]
LISTS = f"/2010-04-01/Accounts/{DEMO_ACCOUNT_SID}"


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with SimulatorServer(Simulator()) as server, connect(server.url) as client:
        yield client


def connect(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, auth=(DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN), timeout=PATIENCE_SECONDS)


def test_records_are_added_changed_and_removed(client: httpx.Client) -> None:
    at = "2026-03-03T09:14:02+00:00"
    given = {"at": at, "from": "+14155550123", "status": "failed", "date_sent": None}
    sid = client.post("/_simulator/records/message", json=given).json()["sid"]
    message = client.get(f"{LISTS}/Messages/{sid}.json").json()
    assert (message["date_created"], message["date_sent"]) == ("Tue, 03 Mar 2026 09:14:02 +0000", None)
    changed = client.patch(f"/_simulator/records/{sid}", json={"status": "delivered"}).json()
    assert [version[1] for version in changed["versions"]] == ["failed", "delivered"]
    client.delete(f"/_simulator/records/{sid}")
    assert client.get(f"{LISTS}/Messages/{sid}.json").status_code == 404
    assert client.get("/_simulator/emitted", params={"log_type": "message"}).json()["items"][0]["removed"] is True


def test_half_of_a_surrogate_pair_may_be_given_and_comes_back(client: httpx.Client) -> None:
    given = b'{"body": "a\\ud800b"}'
    sid = client.post("/_simulator/records/message", content=given).json()["sid"]
    assert client.get(f"{LISTS}/Messages.json").json()["messages"][0]["body"] == "a\ud800b"
    assert client.get(f"/_simulator/records/{sid}").status_code == 200
    assert client.get("/_simulator/emitted").json()["items"][0]["record"]["body"] == "a\ud800b"


def test_the_clock_is_frozen_and_moved(client: httpx.Client) -> None:
    told = client.post("/_simulator/clock", json={"freeze": True, "at": "2026-03-03T09:00:00+00:00"}).json()
    assert told == {"now": "2026-03-03T09:00:00+00:00"}
    assert client.post("/_simulator/clock", json={"advance_seconds": 60}).json() == {"now": "2026-03-03T09:01:00+00:00"}
    assert client.get("/_simulator/state").json()["now"] == "2026-03-03T09:01:00+00:00"


def test_faults_are_ordered_and_cleared(client: httpx.Client) -> None:
    client.post("/_simulator/faults", json={"kind": "rate_limited", "times": 5})
    assert client.get(f"{LISTS}/Calls.json").status_code == 429
    client.delete("/_simulator/faults")
    assert client.get(f"{LISTS}/Calls.json").status_code == 200
    assert client.get("/_simulator/requests").json()["by_path"] == {f"{LISTS}/Calls.json": 2}


def test_accounts_keys_and_notification_settings_are_edited(client: httpx.Client) -> None:
    child = client.post("/_simulator/accounts", json={"parent_sid": DEMO_ACCOUNT_SID}).json()
    assert child["owner_account_sid"] == DEMO_ACCOUNT_SID
    key = client.post(f"/_simulator/accounts/{child['sid']}/keys", json={"kind": "main"}).json()
    assert client.get("/v1/Alerts", auth=(key["sid"], key["secret"])).status_code == 200
    client.patch(f"/_simulator/accounts/{child['sid']}", json={"status": "suspended"})
    assert client.get("/v1/Alerts", auth=(key["sid"], key["secret"])).status_code == 403
    assert client.patch("/_simulator/habits", json={"date_filters": "exact"}).json()["date_filters"] == "exact"


def test_people_see_a_page_with_the_incidents(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert 'value="carrier_filtering"' in page.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "nothing", None, 404),
        ("GET", "records/SM1", None, 404),
        ("POST", "faults", {"kind": "gremlins"}, 400),
        ("POST", "scenarios/webhook_down", {}, 400),
        ("PATCH", "habits", {"colour": "red"}, 400),
        ("PATCH", f"accounts/{DEMO_ACCOUNT_SID}", {"status": "merry"}, 400),
    ],
)
def test_a_command_that_cannot_run_says_why(
    client: httpx.Client, method: str, path: str, body: dict[str, str] | None, status: int
) -> None:
    response = client.request(method, f"/_simulator/{path}", json=body)
    assert response.status_code == status
    assert response.json()["error"]


def test_a_process_tells_the_same_history_after_a_restart(tmp_path: Path) -> None:
    def history() -> list[str]:
        arguments = ["--port", "0", "--state", str(tmp_path / "state.json"), "--history-hours", "1"]
        command = [sys.executable, "-m", "scripts.twilio_simulator", *arguments]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            url = process.stdout.readline().split(" at ")[1].split()[0]
            with connect(url) as client:
                items = client.get("/_simulator/emitted").json()["items"]
                client.post("/_simulator/scenarios/webhook_down", json={}).raise_for_status()
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0
        return [item["sid"] for item in items]

    first, second = history(), history()
    assert len(first) > 100
    assert second[: len(first)] == first
