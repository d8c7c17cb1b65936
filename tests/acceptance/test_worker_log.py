"""The worker's log: what was read, what fired, what went out, with the ids that lead from one to the other."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kits.deployment import Deployment
from tests.kits.waiting import wait_until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def deployment(database: str, broker: str, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(
        database, broker, tmp_path, settings={"LOG_FORMAT": "json", "POLL_INTERVAL_SECONDS": "3600"}
    ) as made:
        yield made


def _lines(deployment: Deployment, event: str) -> list[dict[str, Any]]:
    text = (deployment.folder / "worker.log").read_text(errors="replace")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def test_the_log_leads_from_the_request_to_the_delivery(deployment: Deployment) -> None:
    deployment.start()
    account = deployment.simulator.account.sid
    deployment.make(
        "/api/rules", {"name": "Failed", "log_type": "call", "pattern_type": "status", "pattern_value": "failed"}
    )
    action = deployment.make("/api/actions", {"action_type": "webhook", "config": {"url": deployment.web.url}})
    wait_until(lambda: _streams_are_read(deployment, account), "the streams are read")

    deployment.simulator.add_call(status="failed", to="+447700900123")
    headers = {"X-Request-ID": "asked-by-hand"}
    assert deployment.api.post(f"/api/accounts/{account}/poll", headers=headers).status_code == 202
    wait_until(lambda: bool(_lines(deployment, "delivery attempted")), "the delivery is logged", pause_seconds=0.5)

    read = [line for line in _lines(deployment, "logs read") if line["log_type"] == "call"][-1]
    assert (read["account_sid"], read["changes"]) == (account, 1)
    [fired] = _lines(deployment, "alert fired")
    [delivery] = _lines(deployment, "delivery attempted")
    assert (delivery["alert_id"], delivery["action_id"]) == (fired["alert_id"], action["id"])
    assert (delivery["outcome"], delivery["status_code"], delivery["attempt"]) == ("succeeded", 200, 1)
    assert delivery["delivery_id"] == deployment.web.requests[0].headers["webhook-id"]

    deployment.api.post(f"/api/alerts/{fired['alert_id']}/resolve", headers=headers)
    wait_until(lambda: len(_lines(deployment, "delivery attempted")) == 2, "the resolve is logged", pause_seconds=0.5)

    written = (deployment.folder / "worker.log").read_text() + (deployment.folder / "api.log").read_text()
    assert "stream_id" not in written
    assert "447700900123" not in written


def _streams_are_read(deployment: Deployment, account: str) -> bool:
    streams = deployment.api.get(f"/api/accounts/{account}").json()["streams"]
    return len(streams) == 3 and all(stream["last_success_at"] for stream in streams)
