"""Bad input: a clear refusal that names the field, repeats nothing that was sent, and leaves everything as it was."""

from typing import Any

import httpx
import orjson
import pytest

from tests.integration.api.conftest import EMAIL, RULE, WEBHOOK, Api, fields

JSON = {"Content-Type": "application/json"}
MISSING = "6f1c2f0e-7f0b-4a6e-9a54-0a3c5a1d2b11"


def is_problem(answer: httpx.Response, status: int) -> bool:
    body = answer.json()
    return (
        answer.status_code == status == body["status"]
        and answer.headers["content-type"] == "application/problem+json"
        and {"type", "title", "status", "detail"} <= set(body)
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": 5}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"log_type": "fax"}, "log_type"),
        ({"severity": "bad"}, "severity"),
        ({"enabled": "true"}, "enabled"),
        ({"enabled": 1}, "enabled"),
        ({"pattern_value": "30003,"}, "pattern_value"),
        ({"pattern_value": "30999-30000"}, "pattern_value"),
        ({"pattern_value": None}, "pattern_value"),
        ({"pattern_type": "regex", "pattern_value": "(?<=a)b"}, "pattern_value"),
        ({"pattern_type": "regex", "pattern_value": "("}, "pattern_value"),
        ({"pattern_type": "keyword", "pattern_value": "x" * 10_001}, "pattern_value"),
        ({"filters": {"to_country": ["UK"]}}, "filters.to_country"),
        ({"filters": {"role": ["x"]}}, "filters.role"),
        ({"condition": {"type": "threshold", "count": 0, "window_minutes": 5}}, "condition.count"),
        ({"condition": {"type": "threshold", "count": True, "window_minutes": 5}}, "condition.count"),
        ({"condition": {"type": "threshold", "count": 1, "window_minutes": 0}}, "condition.window_minutes"),
        ({"condition": {"type": "threshold", "count": 1, "window_minutes": 44_641}}, "condition.window_minutes"),
        ({"resolve_after_minutes": 2**63 - 1}, "resolve_after_minutes"),
        ({"role": "admin"}, "role"),
    ],
)
async def test_an_invalid_rule_is_refused_at_the_field(api: Api, change: dict[str, Any], field: str) -> None:
    made = (await api.post("/api/rules", json=RULE)).json()
    before = (await api.get("/api/rules")).json()
    assert fields(await api.post("/api/rules", json=RULE | change)) == [field]
    assert fields(await api.put(f"/api/rules/{made['id']}", json=RULE | change)) == [field]
    assert fields(await api.patch(f"/api/rules/{made['id']}", json=RULE | change)) == [field]
    assert (await api.get("/api/rules")).json() == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"name": 1, "name": 2}', 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"name": NaN}', 422),
        (b'{"name": 1e999}', 422),
        (b'{"name": ' + b"9" * 5000 + b"}", 422),
        (b'{"name": 9223372036854775808}', 422),
        (b'{"name": "\\ud800"}', 422),
        (b"[" * 900 + b"]" * 900, 422),
        (b"[" * 100_000 + b"]" * 100_000, 422),
        (b" " * ((1 << 20) + 1), 413),
    ],
)
async def test_an_unreadable_body_is_refused(api: Api, body: bytes, status: int) -> None:
    for path in ("/api/rules", "/api/actions", "/api/keys", "/api/silences"):
        assert is_problem(await api.post(path, content=body, headers=JSON), status), path


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_of_another_kind_is_refused(api: Api, headers: dict[str, str]) -> None:
    assert is_problem(await api.post("/api/rules", content=b"{}", headers=headers), 415)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=-1", ["limit"]),
        ("limit=0", ["limit"]),
        ("limit=1001", ["limit"]),
        ("limit=1e3", ["limit"]),
        ("limit=" + "9" * 26, ["limit"]),
        ("limit=1&limit=1", ["limit"]),
        ("cursor=AAAAAAAAAAAAAAAAAAAAAAAA", ["cursor"]),
        ("cursor=x", ["cursor"]),
        ("q=%00", ["q"]),
        ("q=%ff", ["q"]),
        ("q=", ["q"]),
        ("q=" + "x" * 10_240, ["q"]),
        ("since=yesterday", ["since"]),
        ("since=2026-11-23T06:09:00", ["since"]),
        ("status=Failed", ["status"]),
        ("error_code=30003,abc", ["error_code"]),
        ("final=1", ["final"]),
        ("role=admin", ["role"]),
        ("a%00b=1", ["query"]),
    ],
)
async def test_an_unreadable_query_is_refused_at_the_parameter(api: Api, query: str, named: list[str]) -> None:
    assert fields(await api.get(f"/api/logs?{query}")) == named


@pytest.mark.parametrize("text", ["' OR 1=1--", "\\", "%", "_", "%_\\", "'; DROP TABLE logs;--"])
async def test_what_is_searched_for_is_taken_literally(api: Api, text: str) -> None:
    answer = await api.get("/api/logs", params={"q": text})
    assert (answer.status_code, answer.json()["items"]) == (200, [])


async def test_a_query_where_none_is_taken_is_refused(api: Api) -> None:
    for path in (f"/api/rules/{MISSING}", "/api/export", "/api/health", "/api/health/live", "/metrics"):
        assert fields(await api.get(f"{path}?x=1")) == ["x"], path


async def test_a_query_without_end_is_refused(api: Api) -> None:
    assert is_problem(await api.get("/api/logs?q=" + "x" * 20_000), 414)


async def test_a_missing_resource_is_404_and_a_bad_id_is_422(api: Api) -> None:
    for kind, name in (("rules", "rule_id"), ("actions", "action_id"), ("silences", "silence_id")):
        assert is_problem(await api.get(f"/api/{kind}/{MISSING}"), 404)
        assert is_problem(await api.delete(f"/api/{kind}/{MISSING}"), 404)
        assert fields(await api.get(f"/api/{kind}/not-an-id")) == [name]
    for path in (f"/api/alerts/{MISSING}", f"/api/alerts/{MISSING}/logs", f"/api/deliveries/{MISSING}"):
        assert is_problem(await api.get(path), 404)
    for path in (f"/api/alerts/{MISSING}/resolve", f"/api/deliveries/{MISSING}/retry", f"/api/actions/{MISSING}/test"):
        assert is_problem(await api.post(path), 404)
    assert is_problem(await api.get("/api/logs/SM" + "0" * 32), 404)
    assert fields(await api.get("/api/logs/%00")) == ["sid"]


async def test_an_unknown_address_and_method_are_problems_too(api: Api) -> None:
    for path in ("/nothing", "/api", "/api/rules/", "/docs/assets/../../etc/passwd", "/docs/assets/%2e%2e%2fsecret"):
        assert is_problem(await api.get(path), 404), path
    answer = await api.put("/api/rules")
    assert is_problem(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    for method in ("TRACE", "CONNECT", "BREW"):
        assert is_problem(await api.request(method, "/api/rules"), 405), method


async def test_options_and_head_answer_without_a_body(api: Api) -> None:
    options = await api.options("/api/rules")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert "access-control-allow-origin" not in options.headers
    head = await api.head("/api/rules")
    assert (head.status_code, head.content) == (200, b"")


REPEAT = {"timezone": "Europe/Berlin", "start": "22:00", "end": "06:00"}
NO_ZONE = "is not a time zone: use a name such as Europe/Berlin or UTC"
NO_TIME = "must be a time of day, such as 22:00"


@pytest.mark.parametrize(
    ("path", "body", "field", "message"),
    [
        ("/api/silences", {"repeat": REPEAT | {"timezone": "Europe/Nowhere"}}, "repeat.timezone", NO_ZONE),
        ("/api/silences", {"repeat": REPEAT | {"end": "24:00"}}, "repeat.end", NO_TIME),
        (
            "/api/silences",
            {"repeat": REPEAT | {"days": ["fri", "fri"]}},
            "repeat.days",
            "must not contain a value twice",
        ),
        ("/api/actions", EMAIL | {"report": {"every": "day", "timezone": "../UTC"}}, "report.timezone", NO_ZONE),
        ("/api/actions", EMAIL | {"report": {"every": "day", "at": "8"}}, "report.at", NO_TIME),
        ("/api/rules", RULE | {"schedule": REPEAT | {"timezone": "utc+1"}}, "schedule.timezone", NO_ZONE),
    ],
)
async def test_an_invalid_local_time_is_refused_in_one_sentence(
    api: Api, path: str, body: dict[str, Any], field: str, message: str
) -> None:
    answer = await api.post(path, json=body)
    assert (answer.status_code, answer.json()["errors"]) == (422, [{"field": field, "message": message}])


@pytest.mark.parametrize("host", ["evil.com", "localhost.evil.com", "a@localhost", ""])
async def test_a_request_for_another_host_is_refused(api: Api, host: str) -> None:
    assert is_problem(await api.get("/api/rules", headers={"Host": host}), 400)


@pytest.mark.parametrize("request_id", ["a b", "x" * 65, "<script>"])
async def test_a_request_id_that_could_be_anything_is_replaced(api: Api, request_id: str) -> None:
    answer = await api.get("/api/rules", headers={"X-Request-ID": request_id})
    assert answer.headers["x-request-id"] != request_id
    assert (await api.get("/api/rules", headers={"X-Request-ID": "mine-1"})).headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize(
    "body",
    [
        WEBHOOK | {"config": {"url": "http://127.0.0.1/canary"}},
        WEBHOOK | {"config": {"url": "ftp://canary"}},
        WEBHOOK | {"config": {"url": "https://x.example/", "secret": "canary"}},
        WEBHOOK | {"config": {"url": "https://x.example/", "headers": {"Host": "canary"}}},
        EMAIL | {"config": {"recipients": ["canary"]}},
        EMAIL | {"config": {"recipients": []}},
        EMAIL | {"rule_id": "canary"},
        {"canary": 1},
    ],
)
async def test_a_refusal_never_repeats_a_value(api: Api, body: dict[str, Any]) -> None:
    answer = await api.post("/api/actions", json=body)
    assert answer.status_code == 422
    assert "canary" not in answer.text.replace('"field":"canary"', "").replace("canary: is not a known field", "")


HOOK = {"url": "https://hooks.example.com/x"}
OPS = ["ops@example.com"]
ASTRAY: list[tuple[str, dict[str, Any], str]] = [
    ("webhook", {"url": "http://localhost./canary"}, "url"),
    ("webhook", {"url": "http://lo\u00adcalhost/canary"}, "url"),
    ("webhook", {"url": "http://2130706433/canary"}, "url"),
    ("webhook", {"url": "http://①②⑦.⓪.⓪.①/canary"}, "url"),
    ("webhook", {"url": "http://[64:ff9b::7f00:1]/canary"}, "url"),
    ("webhook", {"url": "http://169.254.169.254/canary"}, "url"),
    ("webhook", {"url": "http://canary.example@127.0.0.1/"}, "url"),
    ("webhook", {"url": "http://127.0.0.1\\@canary.example/"}, "url"),
    ("webhook", {"url": "file:///canary"}, "url"),
    ("webhook", {"url": "http://canary.example:6379/"}, "url"),
    ("webhook", {"url": "http://canary.example/\r\nX: 1"}, "url"),
    ("webhook", {"url": "http://[fe80::1%25canary]/"}, "url"),
    ("webhook", {"url": "http://canary.example/" + "a" * 3000}, "url"),
    ("webhook", HOOK | {"headers": {"X-A": "canary\r\nX-B: 1"}}, "headers.X-A"),
    ("webhook", HOOK | {"headers": {"Webhook-Id": "canary"}}, "headers.Webhook-Id"),
    ("webhook", HOOK | {"secret": "whsec_canary"}, "secret"),
    ("webhook", HOOK | {"body": "{{ ''.__class__ }}"}, "body"),
    ("webhook", HOOK | {"body": '{"a": "{{ \'a\' * 10**9 }}"}'}, "body"),
    ("webhook", {"format": "pagerduty", "routing_key": "canary canary"}, "routing_key"),
    ("email", {"recipients": [*OPS, "canary@b.c\r\nBcc: x@y.z"]}, "recipients.1"),
    ("email", {"recipients": [*OPS, '"canary, b@c"']}, "recipients.1"),
    ("email", {"recipients": [*OPS, "canary@[127.0.0.1]"]}, "recipients.1"),
    ("email", {"recipients": [f"canary{number}@b.c" for number in range(51)]}, "recipients"),
    ("email", {"recipients": OPS, "subject": "{% include 'canary' %}"}, "subject"),
    ("email", {"recipients": OPS, "template": "../canary"}, "template"),
    ("apprise", {"urls": ["syslog://canary"]}, "urls.0"),
    ("apprise", {"urls": ["json://h.example/canary\0"]}, "urls.0"),
]


async def test_an_action_that_leads_to_a_forbidden_address_is_refused_at_every_door(api: Api) -> None:
    plain: dict[str, Any] = {"webhook": HOOK, "email": {"recipients": OPS}, "apprise": {"urls": ["json://h.example/"]}}
    made = {}
    for kind, config in plain.items():
        made[kind] = (await api.post("/api/actions", json={"action_type": kind, "config": config})).json()["id"]
    before = (await api.get("/api/actions")).json()
    for kind, config, field in ASTRAY:
        entry = {"action_type": kind, "config": config}
        document = orjson.dumps({"version": 1, "actions": [{"slug": "a"} | entry]})
        answers = [
            await api.post("/api/actions", json=entry),
            await api.put(f"/api/actions/{made[kind]}", json=entry),
            await api.patch(f"/api/actions/{made[kind]}", json={"config": config}),
        ]
        assert [fields(answer) for answer in answers] == [[f"config.{field}"]] * 3, (config, field)
        for query in ("", "?dry_run=true"):
            headers = {"Content-Type": "application/yaml"}
            answers.append(await api.post(f"/api/import{query}", content=document, headers=headers))
            assert fields(answers[-1]) == [f"actions.0.config.{field}"], config
        assert not any("canary" in answer.text for answer in answers), config
    assert (await api.get("/api/actions")).json() == before


async def test_no_answer_lacks_the_headers_that_protect(api: Api) -> None:
    for path in ("/api/rules", "/nothing", "/docs", "/metrics", "/api/health"):
        headers = (await api.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert headers["cache-control"], path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "server" not in headers, path
