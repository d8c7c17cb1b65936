"""The first and the last times of the calendar are answered by the API and shown in every zone."""

import pytest

from app.api.console.access import ZONE_COOKIE
from tests.integration.api.conftest import RULE, Api
from tests.integration.console.conftest import Browser

FOR_EVER = "9999-12-31T23:59:59Z"
ZONES = ("Asia/Tokyo", "America/Los_Angeles", "Pacific/Kiritimati")


@pytest.mark.parametrize("zone", ZONES)
async def test_a_silence_for_ever_is_shown(browser: Browser, api: Api, zone: str) -> None:
    made = await api.post("/api/silences", json={"ends_at": FOR_EVER})
    assert (made.status_code, made.json()["ends_at"]) == (201, FOR_EVER)
    await browser.sign_in()
    browser.cookies.set(ZONE_COOKIE, zone)
    for path in ("/silences", "/", "/alerts"):
        assert (await browser.get(path)).status_code == 200, path
    assert "Dec 9999" in (await browser.get("/silences")).text


@pytest.mark.parametrize(
    ("zone", "days", "starts_at"),
    [
        ("America/Los_Angeles", [], "9999-12-31T00:00:00Z"),
        ("Asia/Tokyo", ["fri"], "9999-12-25T00:00:00Z"),
        ("Pacific/Kiritimati", [], FOR_EVER),
    ],
)
async def test_a_silence_repeats_to_the_end_of_the_calendar(
    browser: Browser, api: Api, zone: str, days: list[str], starts_at: str
) -> None:
    repeat = {"timezone": zone, "days": days, "start": "22:00", "end": "06:00"}
    body = {"starts_at": starts_at, "ends_at": None, "repeat": repeat}
    assert (await api.post("/api/silences/preview", json=body)).status_code == 200
    assert (await api.post("/api/silences", json=body)).status_code == 201
    assert (await api.get("/api/silences")).status_code == 200
    await browser.sign_in()
    browser.cookies.set(ZONE_COOKIE, zone)
    assert (await browser.get("/silences")).status_code == 200


SPANS = [
    "since=9999-12-30T00:00:00Z&until=9999-12-31T23:59:59Z",
    "since=9999-12-31T00:00:00Z&until=9999-12-31T23:59:59Z",
    "since=9999-12-01T00:00:00Z&until=9999-12-31T23:59:59.999999Z",
    "since=0001-01-01T00:00:00Z&until=0001-01-02T00:00:00Z",
    "since=0001-01-01T00:00:00Z&until=0001-01-20T00:00:00Z",
    "until=0001-01-01T00:00:00Z",
    "since=9999-12-31T23:59:59Z",
]


@pytest.mark.parametrize("span", SPANS)
async def test_calls_answer_spans_at_the_edges(api: Api, span: str) -> None:
    for path in ("report", "unwatched", "breakdown", "stats", "stats/delivery", "logs", "alerts", "deliveries"):
        address = f"/api/{path}?{span}" + ("&by=from" if path == "breakdown" else "")
        assert (await api.get(address)).status_code in (200, 422), address


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "span",
    [*SPANS, "every=day&until=0001-01-01T00:00:00Z", "every=week&until=9999-12-31T23:00:00Z"],
)
async def test_pages_show_spans_at_the_edges(browser: Browser, zone: str, span: str) -> None:
    await browser.sign_in()
    browser.cookies.set(ZONE_COOKIE, zone)
    for path in ("report", "logs", "alerts", "deliveries", "fraud"):
        assert (await browser.get(f"/{path}?{span}")).status_code in (200, 422), path


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("at", ["0001-01-01T00:00", "9999-12-31T23:59"])
async def test_fields_take_or_refuse_times_at_the_edges(browser: Browser, api: Api, zone: str, at: str) -> None:
    rule = (await api.post("/api/rules", json=RULE)).json()
    await browser.sign_in()
    browser.cookies.set(ZONE_COOKIE, zone)
    for path in ("logs", "alerts", "report"):
        assert (await browser.get(f"/{path}?since={at}", follow_redirects=True)).status_code in (200, 422), path
    for hours in ("1", "ever"):
        answer = await browser.submit("/silences", rule_id=rule["id"], hours=hours, **{"from": at})
        assert answer.status_code in (303, 422), hours


async def test_imported_times_at_the_edges_are_shown(browser: Browser, api: Api) -> None:
    line = "{slug: a, starts_at: '0001-01-01T00:00:00+09:00', ends_at: '9999-12-31T23:59:59-09:00'}"
    made = await api.post(
        "/api/import", content=f"version: 1\nsilences: [{line}]", headers={"Content-Type": "application/yaml"}
    )
    assert made.status_code == 200, made.text
    assert (await api.get("/api/silences")).status_code == 200
    await browser.sign_in()
    assert (await browser.get("/silences")).status_code == 200
