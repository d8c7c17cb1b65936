"""From a callback to its alert: at once, without a poll and without a tick of beat."""

import pytest

from scripts.twilio_simulator.callbacks import Callbacks
from scripts.twilio_simulator.configuration import Targets
from tests.kits.world import World

RULE = {"name": "Undelivered", "log_type": "message", "pattern_type": "status", "pattern_value": "undelivered"}


@pytest.mark.parametrize("is_known", [True, False])
def test_a_callback_brings_its_alert_though_nothing_ticks(world: World, is_known: bool) -> None:
    world.settings |= {"POLL_INTERVAL_SECONDS": "3600", "EVALUATE_INTERVAL_SECONDS": "3600"}
    sid = world.simulator.add_message(status="sent", visible_after=0 if is_known else 86_400)
    assert world.poll_once() == 0
    world.start("api", "worker")
    world.make("/api/rules", RULE)
    action = world.make("/api/actions", {"action_type": "webhook", "config": {"url": world.web.url}})
    with Callbacks(world.simulator, Targets(status=f"{world.url}/webhooks/twilio/status")):
        world.simulator.change(sid, status="undelivered", error_code=30003)
        world.wait(lambda: world.items("/api/alerts") != [], "an alert fires")
    world.wait(lambda: len(world.web.ledger) == 1, "a webhook arrives")
    (delivery,) = world.items("/api/deliveries", action_id=action["id"])
    assert delivery["type"] == "alert.firing"
    (log,) = world.items("/api/logs")
    assert (log["sid"], log["source"]) == (sid, "poll" if is_known else "callback")
