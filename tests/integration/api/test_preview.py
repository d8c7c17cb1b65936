"""Trying a rule on stored logs, through the API."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.api.schemas.common import EXAMPLE_ID
from app.enums import Scope
from app.services.logs import search
from app.services.preview import samples
from app.utils.clock import cut_to_second, rfc3339, utc_now
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


async def test_logs_that_match_and_nearly_match_are_listed_on_request(api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=1))
    feed.store([log(number, now - timedelta(minutes=10 - number)) for number in range(1, 8)], now)
    feed.store([log(20, now - timedelta(minutes=20), error_code=30005)], now)
    feed.complete(now)
    body = RULE | {"since": "1d", "ladder": True, "condition": {"type": "threshold", "count": 2, "window_minutes": 5}}
    shown = (await api.post("/api/rules/preview", json=body | {"samples": True})).json()
    newest = (await api.get("/api/logs?error_code=30003&limit=5")).json()["items"]
    (lacking,) = (await api.get("/api/logs?error_code=30005")).json()["items"]
    near = [{"log": lacking, "lacks": "its code is 30005, not 30003"}]
    assert shown["samples"] == {"looked_at": 7, "logs": newest, "near": near}
    assert shown["ladder"]["field"] == "condition.count"
    assert "samples" not in (await api.post("/api/rules/preview", json=body)).json()
    assert fields(await api.post("/api/rules/preview", json=body | {"samples": "yes"})) == ["samples"]


async def test_samples_that_take_too_long_leave_the_rest(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_slowly(session: Session, *_: object) -> None:
        session.execute(text("SELECT pg_sleep(60)"))

    monkeypatch.setattr(samples, "MAX_SECONDS", 0.001)
    monkeypatch.setattr(search, "list_logs", read_slowly)
    condition = {"type": "threshold", "count": 2, "window_minutes": 5}
    extras = {"ladder": True, "samples": True, "condition": condition}
    answer = await api.post("/api/rules/preview", json=RULE | SPAN | extras)
    assert answer.status_code == 200, answer.text
    assert answer.json()["samples"] is None
    assert len(answer.json()["ladder"]["items"]) == 5
