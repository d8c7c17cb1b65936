"""From a callback to its alert: at once, without a poll and without a tick of beat."""

from typing import Any

import pytest

from scripts.twilio_simulator.callbacks import Callbacks
from scripts.twilio_simulator.configuration import Targets
from tests.kits.world import World

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
def idle(world: World) -> World:
    """A world in which only callbacks make something happen."""
    world.settings |= {"POLL_INTERVAL_SECONDS": "3600", "EVALUATE_INTERVAL_SECONDS": "3600"}
    world.simulator.add_message(status="sent", to=KNOWN)
    assert world.poll_once() == 0
    world.start("api", "worker")
    world.make("/api/rules", RULE)
    world.make("/api/actions", {"action_type": "webhook", "config": {"url": world.web.url}})
    return world


@pytest.mark.parametrize("to", [KNOWN, UNKNOWN])
def test_a_callback_brings_its_alert_though_nothing_ticks(idle: World, to: str) -> None:
    if to == KNOWN:
        [sid] = [each.sid for each in idle.simulator.emitted()]
    else:
        sid = idle.simulator.add_message(status="sent", to=to, visible_after=86_400)
    with Callbacks(idle.simulator, Targets(status=f"{idle.url}/webhooks/twilio/status")):
        idle.simulator.change(sid, status="undelivered", error_code=30003)
        idle.wait(lambda: _alerts(idle, to) != [], "an alert fires")
    idle.wait(lambda: any(sid in request.body.decode() for request in idle.web.ledger), "a webhook arrives")
    (alert,) = _alerts(idle, to)
    (delivery,) = idle.items("/api/deliveries", alert_id=alert["id"])
    assert delivery["type"] == "alert.firing"
    (log,) = idle.items("/api/logs", to=to)
    assert (log["sid"], log["source"]) == (sid, "poll" if to == KNOWN else "callback")


def _alerts(world: World, to: str) -> list[dict[str, Any]]:
    return [each for each in world.items("/api/alerts") if each["group"] == {"to": to}]
