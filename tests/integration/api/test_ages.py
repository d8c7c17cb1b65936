"""Ages: all of a request are before the same moment."""

from datetime import datetime, timedelta

import pytest

from tests.integration.api.conftest import RULE, Api, fields


@pytest.mark.parametrize("path", ["report", "unwatched", "breakdown?by=from", "fraud"])
async def test_the_longest_age_is_accepted(api: Api, path: str) -> None:
    age = "7d" if path == "fraud" else "92d"
    found = await api.get(f"/api/{path}{'&' if '?' in path else '?'}since={age}")
    assert found.status_code == 200, found.text


async def test_an_age_is_exactly_so_long(api: Api) -> None:
    report = (await api.get("/api/report?since=7d")).json()
    length = datetime.fromisoformat(report["until"]) - datetime.fromisoformat(report["since"])
    assert (length, len(report["traffic"]["series"])) == (timedelta(days=7), 7)
    answer = await api.post("/api/rules/preview", json=RULE | {"since": "92d"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["report", "unwatched", "breakdown"])
async def test_a_span_between_the_same_ages_is_empty(api: Api, path: str) -> None:
    by = "&by=from" if path == "breakdown" else ""
    assert fields(await api.get(f"/api/{path}?since=1h&until=1h{by}")) == ["until"]
