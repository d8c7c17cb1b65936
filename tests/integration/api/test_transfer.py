"""Export and import: one document, whole or not at all, and nothing the second time."""

from typing import Any

import pytest

from tests.integration.api.conftest import EMAIL, RULE, WEBHOOK, Api, fields

YAML = {"Content-Type": "application/yaml"}
DOCUMENT = """version: 1
rules:
  - slug: failed-calls
    name: Failed Call Detection
    log_type: call
    pattern_type: error_code
    pattern_value: 30001,30002,30003
    filters: {to_country: [NO, GB], from: [+14155550100]}
actions:
  - slug: ops-mail
    rule: failed-calls
    action_type: email
    config: {recipients: [ops@example.com]}
  - slug: hook
    action_type: webhook
    config:
      url: https://hooks.example.com/x?token=${GIFTPULSE_TOKEN}
      headers: {X-Token: "${GIFTPULSE_TOKEN}"}
silences:
  - slug: maintenance
    rule: failed-calls
    group: {to_country: NO}
    starts_at: 2026-11-24T00:00:00Z
    ends_at: 2096-11-24T00:00:00Z
    reason: work on the line
  - slug: long-ago
    starts_at: 2016-11-24T00:00:00Z
    ends_at: 2016-11-25T00:00:00Z
"""


@pytest.fixture(autouse=True)
def token(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GIFTPULSE_TOKEN", "canary-token")


async def import_document(api: Api, document: str, query: str = "") -> list[dict[str, Any]]:
    answer = await api.post(f"/api/import{query}", content=document, headers=YAML)
    assert answer.status_code == 200, answer.text
    changes: list[dict[str, Any]] = answer.json()["changes"]
    return changes


async def everything(api: Api) -> list[Any]:
    return [(await api.get(f"/api/{kind}")).json()["items"] for kind in ("rules", "actions", "silences")]


async def test_a_document_is_brought_once_and_a_dry_run_changes_nothing(api: Api) -> None:
    wanted = [("rule", "failed-calls"), ("action", "ops-mail"), ("action", "hook"), ("silence", "maintenance")]
    dry = await import_document(api, DOCUMENT, "?dry_run=true")
    assert await everything(api) == [[], [], []]
    done = await import_document(api, DOCUMENT)
    assert [(each["kind"], each["slug"]) for each in done] == [(each["kind"], each["slug"]) for each in dry] == wanted
    assert {each["change"] for each in done} == {"create"}
    before = await everything(api)
    assert await import_document(api, DOCUMENT) == []
    assert await everything(api) == before
    assert before[0][0]["filters"] == {"to_country": ["NO", "GB"], "from": ["+14155550100"]}


async def test_an_export_is_imported_without_a_change(api: Api) -> None:
    await import_document(api, DOCUMENT)
    await api.post("/api/rules", json=RULE)
    await api.post("/api/actions", json=WEBHOOK)
    await api.post("/api/actions", json=EMAIL)
    document = (await api.get("/api/export")).text
    before = await everything(api)
    assert await import_document(api, document) == []
    assert await everything(api) == before
    assert (await api.get("/api/export")).text == document


ODD_TEXTS = (
    "yes",
    "null",
    "1e3",
    "~",
    "- a: b",
    "#x",
    "0x1F",
    "2026-11-24",
    " ends with a colon:",
    "a\nb\n",
    "é€😀",
    "'\"",
    "{{x}}",
)
CONDITIONS: tuple[dict[str, Any], ...] = (
    {"type": "each"},
    {"type": "threshold", "count": 10, "window_minutes": 5},
    {"type": "ratio", "percent": 5, "window_minutes": 60, "min_total": 50, "settle_minutes": 10},
    {"type": "no_data", "window_minutes": 30, "min_count": 1},
    {"type": "spike", "factor": 3, "window_minutes": 15, "baseline_windows": 8, "min_count": 20},
    {"type": "new_value", "field": "error_code", "lookback_days": 30},
    {"type": "stuck", "older_than_minutes": 30, "min_count": 1},
    {"type": "sum", "field": "price", "at_least": 50, "window_minutes": 60},
)
PATTERNS: tuple[dict[str, Any], ...] = (
    {"pattern_type": "any"},
    {"pattern_type": "error_code", "pattern_value": "30000-30999,*"},
    {"pattern_type": "status", "pattern_value": "failed,undelivered"},
    {"pattern_type": "keyword", "pattern_value": "carrier, no"},
    {"pattern_type": "regex", "pattern_value": r"^\d+: \"(late|lost)\"$"},
    {"pattern_type": "expression", "pattern_value": 'log.error_code == 30003 && log.to.startsWith("+44")'},
)
SCHEDULE = {"timezone": "Europe/Berlin", "days": ["mon", "sun"], "start": "22:00", "end": "06:00"}
CONFIGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("email", {"recipients": ["ops@example.com"], "subject": "{{ alert.summary }}: #1"}),
    ("webhook", {"url": "https://hooks.example.com/a?key=canary", "headers": {"X-A": "canary"}, "method": "PUT"}),
    ("webhook", {"url": "https://hooks.example.com/b", "body": '{"text": {{ alert.summary | tojson }}}'}),
    ("webhook", {"url": "https://hooks.example.com/c/canary", "format": "slack"}),
    ("webhook", {"format": "pagerduty", "routing_key": "canary" + "0" * 26}),
    ("apprise", {"urls": ["json://user:canary@example.com/path"]}),
)


async def make(api: Api, kind: str, body: dict[str, Any]) -> None:
    answer = await api.post(f"/api/{kind}", json=body)
    assert answer.status_code == 201, answer.text


def without_identity(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    own = ("id", "rule_id", "created_at", "updated_at", "created_by")
    return sorted(({name: value for name, value in item.items() if name not in own} for item in items), key=repr)


async def test_every_kind_of_entry_and_of_text_goes_out_and_comes_back(api: Api) -> None:
    for number, text in enumerate(ODD_TEXTS):
        pattern, condition = PATTERNS[number % len(PATTERNS)], CONDITIONS[number % len(CONDITIONS)]
        rule = {"log_type": "any", "name": text.strip() + f" {number}", "description": text, "condition": condition}
        more: dict[str, Any] = {"enabled": number % 2 == 0, "renotify_minutes": None, "schedule": SCHEDULE}
        await make(api, "rules", rule | pattern | (more if number % 3 == 0 else {"filters": {"to_country": ["NO"]}}))
        span = {"starts_at": "2026-11-24T00:00:00Z", "ends_at": "2096-11-24T00:00:00.5Z"}
        await make(api, "silences", span | {"reason": text, "group": {"to_country": "NO", "error_code": number}})
    first = (await api.get("/api/rules")).json()["items"][0]["id"]
    for action_type, config in CONFIGS:
        made: dict[str, Any] = {"action_type": action_type, "config": config, "rule_id": first, "notify_on": ["firing"]}
        await make(api, "actions", made)
    document = (await api.get("/api/export")).text
    assert "canary" not in document
    before = await everything(api)
    assert await import_document(api, document) == []
    assert await everything(api) == before
    # Into an empty GiftPulse go all that hold no secret.
    for action in before[1]:
        if action["action_type"] != "email":
            await api.delete(f"/api/actions/{action['id']}")
    document = (await api.get("/api/export")).text
    before = await everything(api)
    for kind, items in zip(("silences", "actions", "rules"), (before[2], before[1], before[0]), strict=True):
        for item in items:
            assert (await api.delete(f"/api/{kind}/{item['id']}")).status_code == 204
    assert {each["change"] for each in await import_document(api, document)} == {"create"}
    after = await everything(api)
    assert [without_identity(items) for items in after] == [without_identity(items) for items in before]
    assert await import_document(api, (await api.get("/api/export")).text) == []


async def test_secrets_are_exported_masked_or_by_reference(api: Api) -> None:
    await import_document(api, DOCUMENT)
    await api.post("/api/actions", json=WEBHOOK)
    answer = await api.get("/api/export")
    assert answer.headers["content-type"] == "application/yaml"
    assert "canary" not in answer.text
    assert "https://hooks.example.com/x?token=${GIFTPULSE_TOKEN}" in answer.text
    assert "canary" not in (await api.get("/api/audit")).text
    assert "canary" not in str(await import_document(api, DOCUMENT.replace("ops@", "new@"), "?dry_run=true"))


async def test_an_edit_is_shown_field_by_field_and_keeps_the_id(api: Api) -> None:
    await import_document(api, DOCUMENT)
    rule_id = (await api.get("/api/rules")).json()["items"][0]["id"]
    (change,) = await import_document(api, DOCUMENT.replace("log_type: call", "log_type: call\n    severity: critical"))
    assert change == {
        "kind": "rule",
        "slug": "failed-calls",
        "change": "update",
        "fields": {"severity": {"before": "warning", "after": "critical"}},
    }
    assert (await api.get(f"/api/rules/{rule_id}")).json()["severity"] == "critical"


async def test_a_rule_that_was_renamed_is_known_by_the_name_of_an_earlier_export(api: Api) -> None:
    made = (await api.post("/api/rules", json=RULE)).json()
    document = (await api.get("/api/export")).text
    await api.patch(f"/api/rules/{made['id']}", json={"name": "Another name"})
    (change,) = await import_document(api, document)
    assert (change["change"], change["fields"]) == ("update", {"name": {"before": "Another name", "after": "Fails"}})


async def test_only_what_an_import_made_is_pruned(api: Api) -> None:
    kept = (await api.post("/api/rules", json=RULE)).json()["id"]
    await import_document(api, DOCUMENT)
    assert await import_document(api, "version: 1\n") == []
    gone = await import_document(api, "version: 1\n", "?prune=true")
    assert [(each["kind"], each["slug"], each["change"]) for each in gone] == [
        ("silence", "maintenance", "delete"),
        ("action", "hook", "delete"),
        ("action", "ops-mail", "delete"),
        ("rule", "failed-calls", "delete"),
    ]
    assert [[each["id"] for each in items] for items in await everything(api)] == [[kept], [], []]


async def test_one_bad_entry_keeps_all_out_and_each_fault_is_named(api: Api) -> None:
    document = DOCUMENT.replace("log_type: call", "log_type: fax").replace("[ops@example.com]", "[]")
    document = document.replace("${GIFTPULSE_TOKEN}", "${GIFTPULSE_OTHER}", 1).replace(
        "group: {to_country: NO}", "group: {x: 1}"
    )
    named = fields(await api.post("/api/import", content=document, headers=YAML))
    assert named[0] == "rules.0.log_type"
    assert {"actions.0.rule", "actions.1.config.url", "silences.0.group"} <= set(named)
    assert await everything(api) == [[], [], []]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ("", "body"),
        ("[]", "body"),
        ("a: [1", "body"),
        ("version: 2", "version"),
        ("version: 1\nx: 1", "x"),
        ("version: 1\nrules: {}", "rules"),
        ("version: 1\nrules: [1]", "rules.0"),
        ("version: 1\nrules: [{name: a}]", "rules.0.slug"),
        ("version: 1\nactions: [{slug: a, action_type: email, config: x}]", "actions.0.config"),
        (
            "version: 1\nactions: [{slug: a, action_type: webhook, config: {url: 'https://x.example/?•••'}}]",
            "actions.0.config.url",
        ),
        ("version: 1\nsilences: [{slug: a, starts_at: x, ends_at: 2096-01-01T00:00:00Z}]", "silences.0.starts_at"),
        ("a: &x [1]\nb: *x", "body"),
        ("[" * 100_000, "body"),
    ],
)
async def test_an_invalid_document_is_refused(api: Api, document: str, field: str) -> None:
    assert fields(await api.post("/api/import", content=document, headers=YAML)) == [field]


async def test_a_body_that_is_no_document_is_refused(api: Api) -> None:
    assert (
        await api.post("/api/import", content=b"version: 1", headers={"Content-Type": "text/html"})
    ).status_code == 415
    assert (await api.post("/api/import", content=b"\xff", headers=YAML)).status_code == 400
    assert fields(await api.post("/api/import", content=b"a: \x00", headers=YAML)) == ["body"]
    assert (await api.post("/api/import", content=b"#" * (10 << 20), headers=YAML)).status_code == 422
    assert (await api.post("/api/import", content=b"#" * ((10 << 20) + 1), headers=YAML)).status_code == 413
    assert fields(await api.post("/api/import?dry_run=maybe", content=b"version: 1", headers=YAML)) == ["dry_run"]


DEPENDENT = """version: 1
rules:
  - slug: retries
    name: Retries fail
    log_type: message
    pattern_type: any
    depends_on: [outage]
  - slug: outage
    name: Outage
    log_type: message
    pattern_type: any
"""


async def test_dependencies_are_slugs_in_any_order(api: Api) -> None:
    await import_document(api, DEPENDENT)
    rules = {rule["name"]: rule for rule in (await everything(api))[0]}
    assert rules["Retries fail"]["depends_on"] == [rules["Outage"]["id"]]
    assert await import_document(api, DEPENDENT) == []
    exported = (await api.get("/api/export")).text
    assert "depends_on:\n  - outage" in exported.replace("    - outage", "  - outage")
    assert await import_document(api, exported) == []


async def test_a_document_can_turn_dependencies_round_and_no_circle_is_taken(api: Api) -> None:
    await import_document(api, DEPENDENT)
    turned = DEPENDENT.replace("    depends_on: [outage]\n", "") + "    depends_on: [retries]\n"
    assert len(await import_document(api, turned)) == 2
    circle = DEPENDENT + "    depends_on: [retries]\n"
    answer = await api.post("/api/import", content=circle, headers=YAML)
    assert answer.status_code == 422
    assert {error["field"].rpartition(".")[2] for error in answer.json()["errors"]} == {"depends_on"}


CHAIN = """version: 1
rules:
  - {slug: first, name: First, log_type: call, pattern_type: any, depends_on: []}
  - {slug: last, name: Last, log_type: call, pattern_type: any, depends_on: [first]}
"""
BETWEEN = "  - {slug: between, name: Between, log_type: call, pattern_type: any, depends_on: [last]}\n"


async def test_an_import_is_judged_by_what_comes_of_it(api: Api) -> None:
    await import_document(api, CHAIN + BETWEEN)
    circle = CHAIN.replace("[]", "[between]")
    answer = await api.post("/api/import", content=circle, headers=YAML)
    assert fields(answer) == ["rules.0.depends_on", "rules.1.depends_on"]
    assert await import_document(api, CHAIN + BETWEEN) == []
    # While the rules change one after another, the first leads back to itself through one that the document omits.
    turned = circle.replace("[first]", "[]")
    assert {change["slug"] for change in await import_document(api, turned)} == {"first", "last"}


@pytest.mark.parametrize("wanted", ["outage", "[nowhere]", "[1]"])
async def test_dependencies_that_are_not_there_are_refused(api: Api, wanted: str) -> None:
    answer = await api.post("/api/import", content=DEPENDENT.replace("[outage]", wanted), headers=YAML)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "rules.0.depends_on"


REPEATING = """version: 1
silences:
  - slug: nights
    starts_at: 2026-11-24T00:00:00Z
    repeat: {timezone: Europe/Berlin, days: [fri], start: "22:00", end: "06:00"}
"""


async def test_a_silence_that_repeats_is_brought_and_exported(api: Api) -> None:
    await import_document(api, REPEATING)
    assert await import_document(api, REPEATING) == []
    exported = (await api.get("/api/export")).text
    assert await import_document(api, exported) == []
    answer = await api.post("/api/import", content=REPEATING.replace("Berlin", "Nowhere"), headers=YAML)
    assert answer.json()["errors"][0]["field"] == "silences.0.repeat.timezone"


async def test_an_action_may_change_its_type(api: Api) -> None:
    action = "version: 1\nactions:\n  - slug: ops\n    action_type: {}\n    config: {}\n"
    await import_document(api, action.format("webhook", "{url: https://hooks.example.com/x}"))
    await import_document(api, action.format("email", "{recipients: [ops@example.com]}"))
    [stored] = (await api.get("/api/actions")).json()["items"]
    assert (stored["action_type"], stored["config"]["recipients"]) == ("email", ["ops@example.com"])
