"""From a callback to its alert: at once, without a poll and without a tick of beat."""

from typing import Any

import pytest

from scripts.twilio_simulator.callbacks import Callbacks
from scripts.twilio_simulator.configuration import Targets
from tests.kits.deployment import Deployment

RULE = {
    "name": "Undelivered",
    "log_type": "message",
    "pattern_type": "status",
    "pattern_value": "undelivered",
    "group_by": ["to"],
}
KNOWN, UNKNOWN = "+447700900100", "+447700900101"
"""Numbers of a message that a poll has read before its callback comes, and of one that it has not."""


@pytest.fixture(scope="module")
def idle(deployment: Deployment) -> Deployment:
    """A world in which only callbacks make something happen."""
    deployment.settings |= {"POLL_INTERVAL_SECONDS": "3600", "EVALUATE_INTERVAL_SECONDS": "3600"}
    deployment.simulator.add_message(status="sent", to=KNOWN)
    assert deployment.poll_once() == 0
    deployment.start("api", "worker")
    deployment.make("/api/rules", RULE)
    deployment.make("/api/actions", {"action_type": "webhook", "config": {"url": deployment.web.url}})
    return deployment


@pytest.mark.parametrize("to", [KNOWN, UNKNOWN])
def test_a_callback_brings_its_alert_though_nothing_ticks(idle: Deployment, to: str) -> None:
    if to == KNOWN:
        [sid] = [each.sid for each in idle.simulator.emitted()]
    else:
        sid = idle.simulator.add_message(status="sent", to=to, visible_after=86_400)
    with Callbacks(idle.simulator, Targets(status=f"{idle.url}/webhooks/twilio/status")):
        idle.simulator.change(sid, status="undelivered", error_code=30003)
        idle.wait(lambda: _alerts(idle, to) != [], "an alert fires")
    idle.wait(lambda: any(sid in request.body.decode() for request in idle.web.requests), "a webhook arrives")
    (alert,) = _alerts(idle, to)
    (delivery,) = idle.items("/api/deliveries", alert_id=alert["id"])
    assert delivery["type"] == "alert.firing"
    (log,) = idle.items("/api/logs", to=to)
    assert (log["sid"], log["source"]) == (sid, "poll" if to == KNOWN else "callback")


def _alerts(deployment: Deployment, to: str) -> list[dict[str, Any]]:
    return [each for each in deployment.items("/api/alerts") if each["group"] == {"to": to}]
