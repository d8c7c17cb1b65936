"""Trying a rule on stored logs, through the API."""

from datetime import UTC, datetime, timedelta

from app.api.schemas.common import EXAMPLE_ID
from app.enums import Scope
from app.utils.clock import rfc3339
from tests.feeding import Feed, log
from tests.integration.api.conftest import RULE, Api, fields

NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)
SPAN = {"since": rfc3339(NINE), "until": rfc3339(NINE + timedelta(hours=1))}


async def test_a_rule_is_tried_and_nothing_is_stored(api: Api) -> None:
    feed = Feed(NINE - timedelta(days=1))
    feed.store([log(number, NINE + timedelta(minutes=number)) for number in range(1, 4)], NINE + timedelta(hours=2))
    feed.complete(NINE + timedelta(hours=2))
    async with Api(api.app, await api.key(Scope.READ)) as reader:
        answer = await reader.post("/api/rules/preview", json=RULE | SPAN)
    shown = answer.json()
    assert (answer.status_code, shown["population"], shown["matches"]) == (200, 3, 3)
    assert [(each["started_at"], each["occurrences"]) for each in shown["alerts"]] == [("2026-11-23T09:01:00Z", 3)]
    assert set(shown["series"][0]) == {"at", "population", "matches", "value", "firing"}
    assert (await api.get("/api/rules")).json()["items"] == []
    assert (await api.get("/api/alerts")).json()["items"] == []


async def test_an_invalid_span_or_rule_is_refused_at_the_field(api: Api) -> None:
    assert fields(await api.post("/api/rules/preview", json=RULE)) == ["since"]
    unknown = RULE | SPAN | {"depends_on": [EXAMPLE_ID]}
    assert fields(await api.post("/api/rules/preview", json=unknown)) == ["depends_on"]
    assert fields(await api.post("/api/rules/preview", json=RULE | SPAN | {"until": "x"})) == ["until"]
    assert "pattern_value" in fields(await api.post("/api/rules/preview", json=RULE | SPAN | {"pattern_value": ","}))


async def test_a_span_may_be_an_age(api: Api) -> None:
    answer = await api.post("/api/rules/preview", json=RULE | {"since": "7d", "until": "1d"})
    assert answer.status_code == 200, answer.text
    points = answer.json()["series"]
    assert len(points) == 144
    assert fields(await api.post("/api/rules/preview", json=RULE | {"since": "999999w"})) == ["since"]
