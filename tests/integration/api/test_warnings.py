"""Values that no log is known to have: refused where the list is closed, else accepted with a warning."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.database import session_scope
from app.models import Rule
from app.utils.clock import rfc3339, utc_now
from tests.feeding import ACCOUNT, Feed
from tests.integration.api.conftest import RULE, Api, fields

TOMORROW = rfc3339(utc_now() + timedelta(days=1))
FAILD = {"pattern_type": "status", "pattern_value": "faild"}
YAML = {"Content-Type": "application/yaml"}


def warned(answer: dict[str, Any]) -> list[str]:
    return [warning["field"] for warning in answer["warnings"]]


async def test_a_rule_with_an_unknown_status_is_made_with_a_warning(api: Api) -> None:
    answer = await api.post("/api/rules", json=RULE | FAILD)
    made = answer.json()
    assert (answer.status_code, warned(made)) == (201, ["pattern_value"])
    assert "did you mean failed?" in made["warnings"][0]["message"]
    url = f"/api/rules/{made['id']}"
    assert (await api.get(url)).json() == made
    assert (await api.put(url, json=made)).status_code == 200
    edited = (await api.patch(url, json={"pattern_value": "failed"})).json()
    assert edited["warnings"] == []
    assert warned((await api.post("/api/rules/preview", json=RULE | FAILD | {"since": "1h"})).json()) == [
        "pattern_value"
    ]


@pytest.mark.parametrize(
    ("change", "field", "hint"),
    [
        ({"pattern_type": "expression", "pattern_value": '"faild" == log.status'}, "pattern_value", "failed?"),
        ({"pattern_type": "expression", "pattern_value": 'log.price_unit == "usd"'}, "pattern_value", "USD?"),
        ({"pattern_type": "expression", "pattern_value": 'log.log_type == "calls"'}, "pattern_value", "call?"),
        ({"pattern_type": "expression", "pattern_value": 'log.to_country == "gb"'}, "pattern_value", "GB?"),
        ({"filters": {"to": ["44*"]}}, "filters.to", "to_country"),
    ],
)
async def test_what_no_log_can_be_is_warned_of_by_api_and_preview(
    api: Api, change: dict[str, Any], field: str, hint: str
) -> None:
    made = (await api.post("/api/rules", json=RULE | change)).json()
    previewed = (await api.post("/api/rules/preview", json=RULE | change | {"since": "1h"})).json()
    for answer in (made, previewed, (await api.get(f"/api/rules/{made['id']}")).json()):
        assert warned(answer) == [field]
        assert hint in answer["warnings"][0]["message"]


@pytest.mark.parametrize("country", ["GBR", "United Kingdom", "gbr"])
async def test_a_country_by_another_name_is_refused_with_what_was_meant(api: Api, country: str) -> None:
    answer = await api.post("/api/rules", json=RULE | {"filters": {"to_country": [country]}})
    assert fields(answer) == ["filters.to_country"]
    assert "did you mean GB?" in answer.text


async def test_an_account_that_is_not_watched_is_warned_of(api: Api) -> None:
    Feed(utc_now())
    other = "AC" + "f" * 32
    made = (await api.post("/api/rules", json=RULE | {"filters": {"account_sid": [ACCOUNT, other]}})).json()
    assert [warning["message"] for warning in made["warnings"]] == ["item 2: no account of this sid is watched"]
    assert warned((await api.get(f"/api/logs?account_sid={other}")).json()) == ["account_sid"]
    assert "warnings" not in (await api.get(f"/api/logs?account_sid={ACCOUNT}")).json()


async def test_a_country_is_accepted_in_any_case_and_no_other_word(api: Api) -> None:
    made = (await api.post("/api/rules", json=RULE | {"filters": {"to_country": ["gb"]}})).json()
    assert made["filters"] == {"to_country": ["GB"]}
    for address, span in (("/api/rules", {}), ("/api/rules/preview", {"since": "1h"})):
        answer = await api.post(address, json=RULE | {"filters": {"to_country": ["UK"]}} | span)
        assert fields(answer) == ["filters.to_country"]
    answer = await api.get("/api/logs?to_country=uk")
    assert (fields(answer), "did you mean GB?" in answer.json()["detail"]) == (["to_country"], True)
    assert (await api.get("/api/logs?to_country=gb")).status_code == 200


async def test_a_window_that_never_fits_its_schedule_is_refused(api: Api) -> None:
    office = {"timezone": "Europe/Berlin", "days": ["mon"], "start": "09:00", "end": "18:00"}
    body = RULE | {"condition": {"type": "no_data", "window_minutes": 600}, "schedule": office}
    assert fields(await api.post("/api/rules", json=body)) == ["condition.window_minutes"]
    assert fields(await api.post("/api/rules/preview", json=body | {"since": "1d"})) == ["condition.window_minutes"]
    made = (await api.post("/api/rules", json=body | {"schedule": None})).json()
    answer = await api.patch(f"/api/rules/{made['id']}", json={"schedule": office})
    assert fields(answer) == ["condition.window_minutes"]


async def test_a_rule_stored_before_a_check_can_still_be_edited(api: Api) -> None:
    made = (await api.post("/api/rules", json=RULE)).json()
    url = f"/api/rules/{made['id']}"
    with session_scope() as session:
        session.execute(update(Rule).values(filters={"to_country": ["UK"]}))
    assert (await api.patch(url, json={"enabled": False})).status_code == 200
    shown = (await api.get(url)).json()
    assert warned(shown) == ["filters.to_country"]
    assert (await api.put(url, json=shown | {"name": "B"})).status_code == 200
    assert fields(await api.patch(url, json={"filters": {"to_country": ["XX"]}})) == ["filters.to_country"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("status=faild", ["status"]),
        ("status=failed,faild", ["status"]),
        ("to=+44", ["to"]),
        ("log_type=call&status=undelivered", ["status"]),
        ("log_type=error&direction=inbound", ["direction"]),
        ("error_code=99999", ["error_code"]),
        ("direction=outbound", ["direction"]),
        ("to=44*&from=%2B44*", ["from", "to"]),
        ("status=failed&to=+447700900123&error_code=30003&direction=outbound-api", []),
        ("", []),
    ],
)
async def test_a_filter_that_lets_nothing_through_is_warned_of(api: Api, query: str, named: list[str]) -> None:
    for address in ("/api/logs", "/api/stats", "/api/stats/delivery"):
        answer = await api.get(f"{address}?{query}")
        assert answer.status_code == 200, answer.text
        assert [each["field"] for each in answer.json().get("warnings", [])] == named, address


async def test_a_silence_names_values_that_alerts_can_have(api: Api) -> None:
    body = {"ends_at": TOMORROW, "group": {"to_country": "gb", "status": "faild"}}
    made = (await api.post("/api/silences", json=body)).json()
    assert (made["group"], warned(made)) == ({"to_country": "GB", "status": "faild"}, ["group.status"])
    assert fields(await api.post("/api/silences", json=body | {"group": {"to_country": "UK"}})) == ["group"]


async def test_an_import_warns_of_what_it_makes(api: Api) -> None:
    document = (
        "version: 1\nrules:\n  - {slug: a, name: A, log_type: call, pattern_type: status, pattern_value: faild}\n"
    )
    for query in ("?dry_run=true", ""):
        answer = await api.post(f"/api/import{query}", content=document, headers=YAML)
        (change,) = answer.json()["changes"]
        assert warned(change) == ["pattern_value"]
