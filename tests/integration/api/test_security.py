"""Who may do what: keys, scopes, limits."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from app.enums import Scope
from tests.conftest import forget
from tests.integration.api.conftest import RULE, Api, make_app

EXAMPLES = {
    "rule_id": "6f1c2f0e-7f0b-4a6e-9a54-0a3c5a1d2b11",
    "sid": "SM" + "0" * 32,
    "code": "30003",
    "name": "delivery",
}
OPEN = {"/api/health", "/api/health/live", "/metrics", "/docs", "/redoc", "/docs/assets/{name}", "/openapi.json"}
OPEN |= {"/webhooks/twilio/status", "/webhooks/twilio/error", "/webhooks/twilio/events"}
PREVIEWS = {"/api/rules/preview", "/api/silences/preview"}
"""They change nothing."""
ADMIN = {"/api/keys", "/api/keys/{key_id}", "/api/people", "/api/people/{person_id}/sessions", "/api/audit"}
ADMIN |= {"/api/export", "/api/import"}


def wanted_scope(method: str, path: str) -> Scope:
    """The scope that the contract asks for."""
    if path in ADMIN:
        return Scope.ADMIN
    if method == "GET" or path in PREVIEWS:
        return Scope.READ
    return Scope.ADMIN if path.startswith(("/api/actions", "/api/accounts")) else Scope.WRITE


def calls(app: Any) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        # The console has its own way in: see tests/integration/console.
        if isinstance(route, APIRoute) and route.include_in_schema and route.path not in OPEN:
            for method in route.methods or ():
                yield method, route.path


def address(path: str) -> str:
    for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
        path = path.replace(
            f"{{{name}}}", EXAMPLES.get(name, "AC" + "0" * 32 if name.endswith("sid") else EXAMPLES["rule_id"])
        )
    return path


async def test_every_call_needs_a_key_of_its_scope(api: Api) -> None:
    keys = {scope: await api.key(scope) for scope in Scope}
    async with Api(api.app, None) as stranger:
        for method, path in calls(api.app):
            url, wanted = address(path), wanted_scope(method, path)
            for headers in ({}, {"X-API-Key": ""}, {"X-API-Key": "wrong"}):
                answer = await stranger.request(method, url, headers=headers)
                assert answer.status_code in (401, 429), (method, path, headers, answer.text)
            for scope, key in keys.items():
                answer = await stranger.request(method, url, headers={"X-API-Key": key})
                assert (answer.status_code == 403) is not scope.includes(wanted), (method, path, scope, answer.text)
                assert answer.status_code < 500, (method, path, answer.text)


async def test_the_reason_for_rejecting_a_key_is_not_revealed(api: Api) -> None:
    key = await api.key(Scope.READ)
    mistyped = key[:-1] + ("A" if key[-1] != "A" else "B")
    (made,) = (await api.get("/api/keys")).json()["items"]
    async with Api(api.app, None) as stranger:
        assert (await stranger.get("/api/rules", headers={"X-API-Key": key})).status_code == 200
        assert (await api.delete(f"/api/keys/{made['id']}")).status_code == 204
        answers = [
            await stranger.get("/api/rules", headers=headers)
            for headers in (
                [],
                [("X-API-Key", "")],
                [("X-API-Key", "x" * 61)],
                [(b"X-API-Key", "Grüße".encode())],
                [(b"X-API-Key", b"gp_" + b"\xff" * 58)],
                [("X-API-Key", mistyped)],
                [("X-API-Key", key)],
                [("X-API-Key", key), ("X-API-Key", key)],
            )
        ]
        answers.append(await stranger.get(f"/api/rules?api_key={key}"))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert all(answer.headers["www-authenticate"] for answer in answers)


async def test_a_key_is_shown_once_and_stored_as_a_hash(api: Api) -> None:
    answer = await api.post("/api/keys", json={"name": "dashboard", "scope": "read"})
    made = answer.json()
    listed = (await api.get("/api/keys")).json()["items"][0]
    assert (answer.status_code, made["prefix"]) == (201, made["key"][:11])
    kept = {name: made[name] for name in ("id", "name", "scope", "prefix", "created_at", "last_used_at")}
    assert listed == kept | {"sessions": []}
    async with Api(api.app, made["key"]) as user:
        await user.get("/api/rules")
    assert (await api.get("/api/keys")).json()["items"][0]["last_used_at"] is not None
    assert made["key"] not in (await api.get("/api/audit")).text


async def test_wrong_keys_are_slowed_down_and_right_ones_from_there_are_not(api: Api) -> None:
    good, fresh = await api.key(Scope.READ), await api.key(Scope.READ)
    async with Api(api.app, None) as same, Api(api.app, None, client=("192.0.2.7", 1)) as other:
        assert (await same.get("/api/rules", headers={"X-API-Key": good})).status_code == 200
        answers = [await same.get("/api/rules", headers={"X-API-Key": f"wrong {number}"}) for number in range(100)]
        assert {answer.status_code for answer in answers[:50]} == {401}
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert (await same.get("/api/rules", headers={"X-API-Key": fresh})).status_code == 429
        assert (await same.get("/api/rules", headers={"X-API-Key": good})).status_code == 200
        assert (await other.get("/api/rules", headers={"X-API-Key": fresh})).status_code == 200


async def test_a_key_that_calls_too_often_waits_and_the_administrator_does_not(
    database: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("API_REQUESTS_PER_MINUTE", "3")
    forget()
    async with Api(make_app()) as api:
        key = await api.key(Scope.READ)
        async with Api(api.app, key) as user:
            statuses = [(await user.get("/api/rules")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert {(await api.get("/api/rules")).status_code for _ in range(10)} == {200}


async def test_tests_of_actions_are_few_a_minute(api: Api) -> None:
    answers = [await api.post(f"/api/actions/{EXAMPLES['rule_id']}/test") for _ in range(31)]
    assert {answer.status_code for answer in answers[:30]} == {404}
    assert answers[-1].status_code == 429


@pytest.mark.parametrize(
    ("setting", "pages"), [("DOCS_OPEN", ("/docs", "/redoc", "/openapi.json")), ("METRICS_OPEN", ("/metrics",))]
)
async def test_open_pages_can_be_closed(
    database: str, environment: pytest.MonkeyPatch, setting: str, pages: tuple[str, ...]
) -> None:
    environment.setenv(setting, "false")
    forget()
    async with Api(make_app()) as api, Api(api.app, None) as stranger:
        for page in pages:
            assert (await stranger.get(page)).status_code == 401
            assert (await api.get(page)).status_code == 200


async def test_who_changed_what_is_kept_and_cannot_be_changed(api: Api) -> None:
    key = await api.key(Scope.WRITE)
    async with Api(api.app, key) as user:
        rule = (await user.post("/api/rules", json=RULE)).json()
        await user.patch(f"/api/rules/{rule['id']}", json={"severity": "critical"})
        await user.delete(f"/api/rules/{rule['id']}")
    entries = (await api.get(f"/api/audit?target=rule:{rule['id']}")).json()["items"]
    assert [entry["action"] for entry in entries] == ["rule.delete", "rule.update", "rule.create"]
    assert {entry["by"] for entry in entries} == {f"write of a test ({key[:11]})"}
    assert (entries[1]["before"]["severity"], entries[1]["after"]["severity"]) == ("warning", "critical")
    assert (entries[0]["after"], entries[2]["before"]) == (None, None)
