"""From Twilio to a person who is told: through the real API, worker, beat, PostgreSQL, Valkey, SMTP and HTTP.

The stories share their processes; each has a number, a rule and actions of its own.
"""

import re
from collections.abc import Iterator
from itertools import count

import pytest
from standardwebhooks import Webhook

from tests.kits.deployment import Deployment
from tests.kits.receivers import respond

RULE = {
    "name": "Failed Call Detection",
    "description": "Alert when calls fail",
    "log_type": "call",
    "pattern_type": "error_code",
    "pattern_value": "30001,30002,30003",
}
MAIL = {
    "action_type": "email",
    "config": {"recipients": ["ops@example.com"], "subject": "Twilio Alert", "template": "error_notification"},
}


_numbers = count(447700900100)


@pytest.fixture(scope="module")
def running(deployment: Deployment) -> Deployment:
    """The world once it has read Twilio: on a machine with much to do, its silence until then is an alert, too."""
    deployment.start()
    address = f"/api/accounts/{deployment.simulator.account.sid}"
    deployment.wait(
        lambda: all(each["last_success_at"] for each in deployment.get(address)["streams"]), "the streams are read"
    )
    deployment.wait(lambda: deployment.items("/api/alerts", status="firing") == [], "nothing is wrong")
    return deployment


@pytest.fixture
def story(running: Deployment) -> Iterator[Deployment]:
    """The running world; the rules and actions of a story end with it, and what was received is forgotten.

    Each action belongs to its story's rule: on a slow machine a restart may open a built-in alert, too. Actions end
    first: the end of a rule resolves its alert, and the next story would get that mail.
    """
    yield running
    for path in ("/api/actions", "/api/rules"):
        for each in running.items(path):
            running.api.delete(f"{path}/{each['id']}").raise_for_status()
    running.web.answers = [respond(200)]
    running.web.requests.clear()
    running.mail.mails.clear()


@pytest.fixture
def number() -> str:
    """The number that a story is about."""
    return f"+{next(_numbers)}"


def _fail_a_call(deployment: Deployment, number: str, code: str = "30003") -> str:
    sid = deployment.simulator.add_call(status="failed", to=number, from_="+14155550123")
    deployment.simulator.add_error(resource_sid=sid, error_code=code)
    return sid


def test_a_failed_call_becomes_an_alert_a_mail_and_a_signed_webhook(story: Deployment, number: str) -> None:
    rule = story.make("/api/rules", RULE | {"severity": "info"})
    story.make("/api/actions", MAIL | {"rule_id": rule["id"]})
    hook_action = {"action_type": "webhook", "config": {"url": story.web.url}, "rule_id": rule["id"]}
    secret = story.make("/api/actions", hook_action)["config"]["secret"]

    sid = _fail_a_call(story, number)
    story.wait(lambda: story.items("/api/alerts", rule_id=rule["id"]) != [], "an alert fires")
    story.wait(lambda: len(story.mail.mails) == 1 and len(story.web.requests) == 1, "a mail and a webhook arrive")

    (alert,) = story.items("/api/alerts", status="firing", rule_id=rule["id"])
    assert (alert["rule_id"], alert["rule_name"]) == (rule["id"], RULE["name"])
    assert (alert["occurrences"], alert["sample_sids"], alert["error"]["code"]) == (1, [sid], 30003)

    (log,) = story.items("/api/logs", log_type="call", to=number)
    assert (log["sid"], log["error_code"], log["to_country"], log["source"]) == (sid, 30003, "GB", "poll")

    recipient, mail = story.mail.mails[0]
    assert recipient == "ops@example.com"
    text, html = (part.get_content() for part in mail.walk() if part.get_content_maintype() == "text")
    for part in (text, html):
        assert sid in part
        assert "30003" in part
        assert "Unreachable destination handset" in part

    (hook,) = story.web.requests
    content = Webhook(secret).verify(hook.body, hook.headers)
    assert content["type"] == "alert.firing"
    assert content["data"]["alert"]["id"] == alert["id"]
    assert [shown["sid"] for shown in content["data"]["logs"]] == [sid]

    story.wait(
        lambda: {each["status"] for each in story.items("/api/deliveries", alert_id=alert["id"])} == {"succeeded"},
        "both deliveries succeed",
    )
    ids = {each["id"] for each in story.items("/api/deliveries", alert_id=alert["id"])}
    assert hook.headers["webhook-id"] in ids
    assert any(each in mail["message-id"] for each in ids)

    story.wait(lambda: story.get("/api/health")["status"] == "ok", "all is well")
    metrics = story.api.get("/metrics").text
    assert re.search(rf'giftpulse_rule_matches_total{{rule_id="{rule["id"]}"}} 1\.0', metrics)
    assert re.search(r'giftpulse_alerts_open{severity="info"} 1\.0', metrics)
    assert re.search(r'giftpulse_deliveries_total{action_type="email",outcome="succeeded"} 1\.0', metrics)


def test_it_continues_where_it_stopped(story: Deployment, number: str) -> None:
    rule = story.make("/api/rules", RULE)
    story.make("/api/actions", MAIL | {"rule_id": rule["id"]})
    first = _fail_a_call(story, number)
    story.wait(lambda: len(story.mail.mails) == 1, "the first mail arrives")

    story.children.stop()
    second = _fail_a_call(story, number, "30001")
    story.start()

    story.wait(
        lambda: [each["occurrences"] for each in story.items("/api/alerts", rule_id=rule["id"])] == [2],
        "the second call joins the alert",
    )
    (alert,) = story.items("/api/alerts", rule_id=rule["id"])
    assert set(alert["sample_sids"]) == {first, second}
    assert [log["sid"] for log in story.items("/api/logs", log_type="call", to=number)] == [second, first]
    assert len(story.mail.mails) == 1, "what was told is not told again"


def test_a_receiver_that_is_down_gets_it_later_under_the_same_id(story: Deployment, number: str) -> None:
    story.web.answers = [respond(503), respond(503), respond(200)]
    rule = story.make("/api/rules", RULE)
    action = story.make(
        "/api/actions", {"action_type": "webhook", "config": {"url": story.web.url}, "rule_id": rule["id"]}
    )
    _fail_a_call(story, number)
    story.wait(
        lambda: [each["status"] for each in story.items("/api/deliveries", action_id=action["id"])] == ["succeeded"],
        "the third try is taken",
    )
    assert len({request.headers["webhook-id"] for request in story.web.requests}) == 1
    assert len({request.body for request in story.web.requests}) == 1
    (delivery,) = story.items("/api/deliveries", action_id=action["id"])
    attempts = story.get(f"/api/deliveries/{delivery['id']}")["attempts"]
    assert [attempt["status_code"] for attempt in attempts] == [503, 503, 200]


def test_a_message_that_fails_after_it_was_read_is_noticed(story: Deployment, number: str) -> None:
    rule = story.make(
        "/api/rules",
        {"name": "Undelivered", "log_type": "message", "pattern_type": "status", "pattern_value": "undelivered"},
    )
    sid = story.simulator.add_message(status="sent", to=number)
    story.wait(
        lambda: [log["status"] for log in story.items("/api/logs", to=number)] == ["sent"], "the message is read"
    )
    story.simulator.change(sid, status="undelivered", error_code=30003)
    story.wait(lambda: story.items("/api/alerts", rule_id=rule["id"]) != [], "its failure is noticed")
    history = story.get(f"/api/logs/{sid}")["history"]
    assert [change["status"] for change in history] == ["sent", "undelivered"]
