"""Rules, actions, silences: made, read, edited, deleted; versions, and requests that come twice."""

import asyncio
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.actions.apprise import Apprise
from app.api.schemas.common import EXAMPLE_ID
from app.database import session_scope
from app.enums import Scope
from app.utils.clock import rfc3339, utc_now
from tests.conftest import forget
from tests.integration.api.conftest import EMAIL, RULE, WEBHOOK, Api, fields, make_app
from tests.integration.console.test_alert_pages import make_alert
from tests.integration.console.test_pages import make_delivery
from tests.kits.receivers import Request, http_receiver, respond
from tests.kits.waiting import PATIENCE_SECONDS

NOWHERE = "https://nowhere.invalid/in"
ROUTING_KEY = "canary" + "0" * 26
TOMORROW = rfc3339(utc_now() + timedelta(days=1))


async def test_a_rule_has_the_defaults_of_the_documentation(api: Api) -> None:
    answer = await api.post("/api/rules", json=RULE)
    made = answer.json()
    assert answer.status_code == 201
    expected = {"enabled": True, "severity": "warning", "condition": {"type": "each"}, "group_by": [], "schedule": None}
    expected |= {"renotify_minutes": 60, "resolve_after_minutes": 60, "cooldown_minutes": 10, "last_error": None}
    assert {name: made[name] for name in expected} == expected
    assert (await api.get(f"/api/rules/{made['id']}")).json() == made


@pytest.mark.parametrize(
    ("kind", "body", "change"), [("rules", RULE, {"name": "B"}), ("actions", EMAIL, {"enabled": False})]
)
async def test_an_edit_for_an_old_version_is_refused(api: Api, kind: str, body: Any, change: Any) -> None:
    made = await api.post(f"/api/{kind}", json=body)
    url, old = f"/api/{kind}/{made.json()['id']}", {"If-Match": made.headers["etag"]}
    edited = await api.patch(url, json=change, headers=old)
    assert (edited.status_code, (await api.get(url)).headers["etag"]) == (200, edited.headers["etag"])
    assert edited.headers["etag"] != made.headers["etag"]
    for method in ("PATCH", "PUT", "DELETE"):
        content = {} if method == "DELETE" else {"json": body}
        assert (await api.request(method, url, headers=old, **content)).status_code == 412
    assert (await api.put(url, json=body, headers={"If-Match": f'"x", {edited.headers["etag"]}'})).status_code == 200
    assert (await api.delete(url, headers={"If-Match": "*"})).status_code == 204


async def test_what_is_stored_is_not_checked_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"action_type": "apprise", "config": {"urls": ["json://user:secret@example.com/path"]}}
    made = (await api.post("/api/actions", json=body)).json()
    checked: list[Any] = []

    def check(_: Apprise, config: dict[str, Any]) -> dict[str, Any]:
        checked.append(config)
        return config

    monkeypatch.setattr(Apprise, "check", check)
    url = f"/api/actions/{made['id']}"
    assert (await api.patch(url, json={"min_severity": "critical"})).status_code == 200
    assert (await api.put(url, json=made)).status_code == 200, "the masked URL stands for the stored one"
    assert checked == []
    await api.patch(url, json={"config": {"urls": ["json://example.com/other"]}})
    assert len(checked) == 1


async def test_of_two_edits_for_one_version_one_wins(api: Api) -> None:
    made = await api.post("/api/rules", json=RULE)
    url, headers = f"/api/rules/{made.json()['id']}", {"If-Match": made.headers["etag"]}
    answers = await asyncio.gather(*(api.patch(url, json={"name": f"N{n}"}, headers=headers) for n in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412, 412]


async def test_put_ignores_what_only_the_product_writes(api: Api) -> None:
    made = (await api.post("/api/rules", json=RULE)).json()
    answer = await api.put(f"/api/rules/{made['id']}", json=made | {"name": "B"})
    assert (answer.status_code, answer.json()["name"], answer.json()["id"]) == (200, "B", made["id"])


async def test_a_request_that_comes_twice_has_its_effect_once(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await api.post("/api/keys", json={"name": "a", "scope": "read"}, headers=headers)
    again = await api.post("/api/keys", json={"name": "a", "scope": "read"}, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert len((await api.get("/api/keys")).json()["items"]) == 1
    assert fields(await api.post("/api/keys", json={"name": "b", "scope": "read"}, headers=headers)) == [
        "Idempotency-Key"
    ]
    assert fields(await api.post("/api/rules", json=RULE, headers=headers)) == ["Idempotency-Key"]


async def test_the_keys_of_two_callers_do_not_meet(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    async with Api(api.app, await api.key(Scope.WRITE)) as other:
        first = await api.post("/api/rules", json=RULE, headers=headers)
        second = await other.post("/api/rules", json=RULE, headers=headers)
    assert first.json()["id"] != second.json()["id"]


async def test_of_a_request_sent_many_times_at_once_one_has_an_effect(api: Api) -> None:
    send = [api.post("/api/rules", json=RULE, headers={"Idempotency-Key": "one"}) for _ in range(8)]
    answers = await asyncio.gather(*send)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len((await api.get("/api/rules")).json()["items"]) == 1
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1


async def test_a_request_that_was_refused_may_be_sent_again_with_its_key(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}
    assert (await api.post("/api/rules", json={}, headers=headers)).status_code == 422
    assert (await api.post("/api/rules", json=RULE, headers=headers)).status_code == 201


async def test_a_running_test_keeps_its_key_and_no_transaction(api: Api, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    forget()
    begun, go_on = threading.Event(), threading.Event()

    async def wait_and_answer(request: Request, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await asyncio.to_thread(go_on.wait, PATIENCE_SECONDS)
        await respond(200)(request, writer)

    headers = {"Idempotency-Key": "one"}
    with http_receiver(wait_and_answer) as receiver:
        async with Api(make_app()) as fresh:
            body = {"action_type": "webhook", "config": {"url": receiver.url}}
            path = f"/api/actions/{(await fresh.post('/api/actions', json=body)).json()['id']}/test"
            first = asyncio.create_task(fresh.post(path, headers=headers))
            assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
            with session_scope() as session:
                others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                assert session.scalar(text(f"SELECT count(xact_start) {others}")) == 0
            second = await fresh.post(path, headers=headers)
            assert (second.status_code, second.headers["retry-after"]) == (409, "1")
            go_on.set()
            answer = await first
            replayed = await fresh.post(path, headers=headers)
    assert (answer.status_code, replayed.json()) == (200, answer.json())
    assert (replayed.headers["idempotency-replayed"], len(receiver.requests)) == ("true", 1)


@pytest.mark.parametrize("key", ["", "x" * 129, "a b", "a\x7f"])
async def test_a_key_that_cannot_be_one_is_refused(api: Api, key: str) -> None:
    assert fields(await api.post("/api/rules", json=RULE, headers={"Idempotency-Key": key})) == ["Idempotency-Key"]


async def test_secrets_are_shown_once_and_masked_from_then_on(api: Api) -> None:
    body = WEBHOOK | {"config": WEBHOOK["config"] | {"headers": {"X-Token": "canary-header"}}}
    made = (await api.post("/api/actions", json=body)).json()
    secret = made["config"]["secret"]
    url = f"/api/actions/{made['id']}"
    read = (await api.get(url)).json()
    assert secret.startswith("whsec_")
    for shown in (await api.get(url)).text, (await api.get("/api/actions")).text, (await api.get("/api/audit")).text:
        assert secret not in shown
        assert "canary" not in shown
    kept = await api.put(url, json=read)
    assert (kept.status_code, kept.json()["config"]) == (200, read["config"])
    changes = [entry for entry in (await api.get("/api/audit")).json()["items"] if entry["action"] == "action.update"]
    assert changes[0]["before"]["config"] == changes[0]["after"]["config"]


async def test_a_silence_is_made_shown_and_ended(api: Api) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    body = {"rule_id": rule["id"], "group": {"to_country": "GB"}, "ends_at": TOMORROW, "reason": "work"}
    made = (await api.post("/api/silences", json=body)).json()
    assert (made["created_by"], made["alert_ids"], made["group"]) == ("API_KEY", [], {"to_country": "GB"})
    assert (await api.get(f"/api/silences/{made['id']}")).json() == made
    assert (await api.get("/api/silences")).json()["items"] == [made]
    assert (await api.delete(f"/api/silences/{made['id']}")).status_code == 204
    assert (await api.get("/api/silences")).json()["items"] == []


@pytest.mark.parametrize("code", [30003, None, "__other__"])
async def test_a_silence_names_values_as_groups_have_them(api: Api, code: object) -> None:
    body = {"group": {"error_code": code, "to": None}, "ends_at": TOMORROW}
    assert (await api.post("/api/silences", json=body)).json()["group"] == body["group"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
        ({"ends_at": "tomorrow"}, "ends_at"),
        ({"ends_at": 5}, "ends_at"),
        ({"starts_at": "2099-01-01T00:00:00Z"}, "ends_at"),
        ({"group": {"role": "x"}}, "group"),
        ({"group": {"to": ["x"]}}, "group.to"),
        ({"group": {"error_code": "30003"}}, "group"),
        ({"group": {"to_country": 44}}, "group"),
        ({"rule_id": "6f1c2f0e-7f0b-4a6e-9a54-0a3c5a1d2b11"}, "rule_id"),
        ({"rule_id": "x"}, "rule_id"),
        ({"role": 1}, "role"),
    ],
)
async def test_an_impossible_silence_is_refused(api: Api, change: dict[str, Any], field: str) -> None:
    named = fields(await api.post("/api/silences", json={"ends_at": TOMORROW} | change))
    assert {name.split(".str")[0].split(".int")[0] for name in named} == {field}


async def test_packs_are_listed_and_installed_once(api: Api) -> None:
    packs = (await api.get("/api/rule-packs")).json()["items"]
    first = await api.post(f"/api/rule-packs/{packs[0]['name']}")
    again = await api.post(f"/api/rule-packs/{packs[0]['name']}")
    assert [rule["name"] for rule in first.json()["rules"]] == [rule["name"] for rule in packs[0]["rules"]]
    assert (first.status_code, again.status_code, again.json()["rules"]) == (201, 201, [])
    for unknown in ("none", "Not a name!"):
        assert (await api.post(f"/api/rule-packs/{unknown}")).status_code == 404


async def test_lists_come_newest_first_and_in_pages(api: Api) -> None:
    made = [(await api.post("/api/rules", json=RULE | {"name": f"Rule {n}"})).json()["id"] for n in range(5)]
    found, cursor = [], None
    while True:
        page = (await api.get("/api/rules", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == made[::-1]


async def test_error_codes_are_explained(api: Api) -> None:
    code = (await api.get("/api/error-codes/30003")).json()
    assert set(code) == {"code", "message", "level", "product", "family", "fault", "next_step", "docs", "rules"}
    assert (await api.get("/api/error-codes/999999")).status_code == 200
    assert [each["code"] for each in (await api.get("/api/error-codes?code=30003,30005")).json()["items"]] == [
        30005,
        30003,
    ]
    assert len((await api.get("/api/error-codes")).json()["items"]) == 100
    page = (await api.get("/api/error-codes?limit=3")).json()
    following = (await api.get("/api/error-codes", params={"limit": 3, "cursor": page["next_cursor"]})).json()
    assert following["items"][0]["code"] < page["items"][-1]["code"]
    assert fields(await api.get("/api/error-codes/abc")) == ["code"]


async def test_an_error_code_names_the_enabled_rules_about_it(api: Api) -> None:
    about = (await api.post("/api/rules", json=RULE | {"pattern_value": "30000-30004"})).json()
    await api.post("/api/rules", json=RULE | {"name": "Off", "enabled": False})
    await api.post("/api/rules", json=RULE | {"name": "Another", "pattern_value": "30005"})
    expected = [{"id": about["id"], "name": about["name"]}]
    assert (await api.get("/api/error-codes/30003")).json()["rules"] == expected
    assert (await api.get("/api/error-codes/999999")).json()["rules"] == []


async def test_a_delivery_shows_what_it_sends(api: Api) -> None:
    standard_webhook = {"action_type": "webhook", "config": {"url": NOWHERE}}
    pagerduty = {"url": NOWHERE, "format": "pagerduty", "routing_key": ROUTING_KEY}
    found = []
    for body in (EMAIL, standard_webhook, {"action_type": "webhook", "config": pagerduty}):
        action_id = (await api.post("/api/actions", json=body)).json()["id"]
        (tested,) = (await api.post(f"/api/actions/{action_id}/test")).json()["deliveries"]
        answer = await api.get(f"/api/deliveries/{tested['id']}/content")
        assert set(answer.json()) == {"subject", "text", "html", "body"}
        assert ROUTING_KEY not in answer.text
        found.append(answer.json())
    mail, standard, event = found
    assert "3 messages undelivered to GB" in mail["text"]
    assert "3 messages undelivered to GB" in mail["html"]
    assert (bool(mail["subject"]), mail["body"]) == (True, None)
    assert json.loads(standard["body"])["type"] == "action.test"
    assert (standard["subject"], standard["text"], standard["html"]) == (None, None, None)
    assert json.loads(event["body"])["event_action"] == "trigger"
    assert (await api.get(f"/api/deliveries/{EXAMPLE_ID}/content")).status_code == 404
    assert fields(await api.get("/api/deliveries/x/content")) == ["delivery_id"]


async def test_a_delivery_in_a_digest_and_one_by_apprise_show_their_texts(api: Api) -> None:
    folded = make_delivery("folded", headline="Fails", summary="3 messages", severity="warning", link="https://x.test")
    short = make_delivery(title="Fails", body="3 messages", kind="warning")
    found = [(await api.get(f"/api/deliveries/{each}/content")).json() for each in (folded, short)]
    assert found == [
        {"subject": "Fails", "text": "3 messages", "html": None, "body": None},
        {"subject": "Fails", "text": None, "html": None, "body": "3 messages"},
    ]


async def test_a_group_of_a_silence_that_cannot_be_is_named_by_its_path(api: Api) -> None:
    answer = await api.post("/api/silences", json={"group": {"to_country": ["GB"]}, "ends_at": TOMORROW})
    assert fields(answer) == ["group.to_country"]


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"notify_on": []}, "notify_on", "must not be empty"),
        ({"rule_id": "x"}, "rule_id", "must be a UUID, such as "),
        ({"enabled": "yes"}, "enabled", "must be true or false"),
        ({"config": None}, "config", "must be a JSON object"),
        ({"role": 1}, "role", "is not a known field"),
        ({"action_type": "fax"}, "action_type", "must be one of 'email', 'webhook' or 'apprise'"),
        ({"config": {}}, "config.recipients", "is required"),
        ({"config": {"recipients": []}}, "config.recipients", "must not be empty"),
        ({"config": {"recipients": "ops@example.com"}}, "config.recipients", "must be a list"),
        ({"config": EMAIL["config"] | {"to": 1}}, "config.to", "is not a known field"),
    ],
)
async def test_an_impossible_action_is_rejected_with_a_clear_message(
    api: Api, change: dict[str, Any], field: str, message: str
) -> None:
    (error,) = (await api.post("/api/actions", json=EMAIL | change)).json()["errors"]
    assert (error["field"], error["message"][: len(message)]) == (field, message)


async def test_failed_deliveries_of_an_action_are_retried_together(api: Api) -> None:
    action_id = (await api.post("/api/actions", json=EMAIL)).json()["id"]
    url = "/api/deliveries/retry"
    await api.post(f"/api/actions/{action_id}/test")
    answer = await api.post(url, json={"action_id": action_id, "since": "1h"})
    assert (answer.status_code, answer.json()) == (200, {"retried": 1})
    (entry, *_) = (await api.get(f"/api/audit?target=action:{action_id}")).json()["items"]
    assert (entry["action"], entry["after"]["retried"]) == ("delivery.retry_failed", 1)
    assert fields(await api.post(url, json={})) == ["action_id", "since"]
    assert fields(await api.post(url, json={"action_id": "x", "since": "soon"})) == ["action_id", "since"]
    assert fields(await api.post(url, json={"action_id": action_id, "since": "1h", "until": "1h"})) == ["until"]
    assert (await api.post(url, json={"action_id": "6" * 8 + action_id[8:], "since": "1h"})).status_code == 404
    async with Api(api.app, await api.key(Scope.READ)) as reader:
        assert (await reader.post(url, json={"action_id": action_id, "since": "1h"})).status_code == 403


REPEAT = {"timezone": "Europe/Berlin", "days": ["sat", "sun"], "start": "22:00", "end": "06:00"}


async def test_a_silence_that_repeats_never_ends_and_says_when_it_begins(api: Api) -> None:
    made = (await api.post("/api/silences", json={"repeat": REPEAT})).json()
    assert (made["repeat"], made["ends_at"]) == (REPEAT, None)
    assert isinstance(made["active"], bool)
    assert made["next_start"] > made["starts_at"]
    assert (await api.get(f"/api/silences/{made['id']}")).json()["repeat"] == REPEAT


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"repeat": REPEAT | {"timezone": "Europe/Nowhere"}}, "repeat.timezone"),
        ({"repeat": REPEAT | {"days": ["someday"]}}, "repeat.days.0"),
        ({"repeat": REPEAT | {"start": "25:00"}}, "repeat.start"),
        ({"repeat": {"timezone": "UTC"}}, "repeat.start"),
        ({"ends_at": None}, "ends_at"),
    ],
)
async def test_repeats_that_cannot_be_are_refused(api: Api, change: dict[str, Any], field: str) -> None:
    for path in ("/api/silences", "/api/silences/preview"):
        answer = await api.post(path, json=change)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == field


async def test_a_preview_lists_what_a_silence_would_hold_and_stores_nothing(api: Api) -> None:
    held, other = make_alert(group={"to_country": "GB"}), make_alert(group={"to_country": "FR"})
    make_alert(group={"to_country": "GB"}, status="resolved")
    body = {"group": {"to_country": "GB"}, "repeat": REPEAT}
    answer = await api.post("/api/silences/preview", json=body)
    assert answer.status_code == 200
    assert [each["id"] for each in answer.json()["items"]] == [str(held)]
    everything = (await api.post("/api/silences/preview", json={"repeat": REPEAT})).json()["items"]
    assert {each["id"] for each in everything} == {str(held), str(other)}
    assert (await api.get("/api/silences")).json()["items"] == []
