"""From Twilio to a person who is told: through the real API, worker, beat, PostgreSQL, Valkey, SMTP and HTTP."""

import re

from standardwebhooks import Webhook

from tests.kits.world import World

RULE = {
    "name": "Failed Call Detection",
    "description": "Alert when calls fail",
    "log_type": "call",
    "pattern_type": "error_code",
    "pattern_value": "30001,30002,30003",
}
MAIL = {
    "rule_id": None,
    "action_type": "email",
    "config": {"recipients": ["ops@example.com"], "subject": "Twilio Alert", "template": "error_notification"},
}


def _fail_a_call(world: World, code: str = "30003") -> str:
    sid = world.simulator.add_call(status="failed", to="+447700900123", from_="+14155550123")
    world.simulator.add_error(resource_sid=sid, error_code=code)
    return sid


def test_a_failed_call_becomes_an_alert_a_mail_and_a_signed_webhook(world: World) -> None:
    world.start()
    rule = world.make("/api/rules", RULE)
    world.make("/api/actions", MAIL)
    secret = world.make("/api/actions", {"action_type": "webhook", "config": {"url": world.web.url}})["config"][
        "secret"
    ]

    sid = _fail_a_call(world)
    world.wait(lambda: world.items("/api/alerts") != [], "an alert fires")
    world.wait(lambda: len(world.mail.ledger) == 1 and len(world.web.ledger) == 1, "a mail and a webhook arrive")

    (alert,) = world.items("/api/alerts", status="firing")
    assert (alert["rule_id"], alert["rule_name"]) == (rule["id"], RULE["name"])
    assert (alert["occurrences"], alert["sample_sids"], alert["error"]["code"]) == (1, [sid], 30003)

    (log,) = world.items("/api/logs", log_type="call")
    assert (log["sid"], log["error_code"], log["to_country"], log["source"]) == (sid, 30003, "GB", "poll")

    recipient, mail = world.mail.ledger[0]
    assert recipient == "ops@example.com"
    text, html = (part.get_content() for part in mail.walk() if part.get_content_maintype() == "text")
    for part in (text, html):
        assert sid in part
        assert "30003" in part
        assert "Unreachable destination handset" in part

    (hook,) = world.web.ledger
    content = Webhook(secret).verify(hook.body, hook.headers)
    assert content["type"] == "alert.firing"
    assert content["data"]["alert"]["id"] == alert["id"]
    assert [shown["sid"] for shown in content["data"]["logs"]] == [sid]

    world.wait(
        lambda: {each["status"] for each in world.items("/api/deliveries")} == {"succeeded"}, "both deliveries succeed"
    )
    ids = {each["id"] for each in world.items("/api/deliveries")}
    assert hook.headers["webhook-id"] in ids
    assert any(each in mail["message-id"] for each in ids)

    world.wait(lambda: world.get("/api/health")["status"] == "ok", "all is well")
    metrics = world.api.get("/metrics").text
    assert re.search(rf'giftpulse_rule_matches_total{{rule_id="{rule["id"]}"}} 1\.0', metrics)
    assert re.search(r'giftpulse_alerts_open{severity="warning"} 1\.0', metrics)
    assert re.search(r'giftpulse_deliveries_total{action_type="email",outcome="succeeded"} 1\.0', metrics)


def test_it_goes_on_where_it_stopped(world: World) -> None:
    world.start()
    world.make("/api/rules", RULE)
    world.make("/api/actions", MAIL)
    first = _fail_a_call(world)
    world.wait(lambda: len(world.mail.ledger) == 1, "the first mail arrives")

    world.children.stop()
    second = _fail_a_call(world, "30001")
    world.start()

    world.wait(lambda: world.items("/api/alerts")[0]["occurrences"] == 2, "the second call joins the alert")
    (alert,) = world.items("/api/alerts")
    assert set(alert["sample_sids"]) == {first, second}
    assert [log["sid"] for log in world.items("/api/logs", log_type="call")] == [second, first]
    assert len(world.mail.ledger) == 1, "what was told is not told again"


def test_a_receiver_that_is_down_gets_it_later_under_the_same_id(world: World) -> None:
    world.web.answer = lambda _: 503 if len(world.web.ledger) < 3 else 200
    world.start()
    world.make("/api/rules", RULE)
    action = world.make("/api/actions", {"action_type": "webhook", "config": {"url": world.web.url}})
    _fail_a_call(world)
    world.wait(
        lambda: [each["status"] for each in world.items("/api/deliveries")] == ["succeeded"], "the third try is taken"
    )
    assert len({request.headers["webhook-id"] for request in world.web.ledger}) == 1
    assert len({request.body for request in world.web.ledger}) == 1
    (delivery,) = world.items("/api/deliveries", action_id=action["id"])
    attempts = world.get(f"/api/deliveries/{delivery['id']}")["attempts"]
    assert [attempt["status_code"] for attempt in attempts] == [503, 503, 200]


def test_a_message_that_fails_after_it_was_read_is_noticed(world: World) -> None:
    world.start()
    world.make(
        "/api/rules",
        {"name": "Undelivered", "log_type": "message", "pattern_type": "status", "pattern_value": "undelivered"},
    )
    sid = world.simulator.add_message(status="sent", to="+447700900123")
    world.wait(lambda: [log["status"] for log in world.items("/api/logs")] == ["sent"], "the message is read")
    world.simulator.change(sid, status="undelivered", error_code=30003)
    world.wait(lambda: world.items("/api/alerts") != [], "its failure is noticed")
    history = world.get(f"/api/logs/{sid}")["history"]
    assert [change["status"] for change in history] == ["sent", "undelivered"]
