"""The page that watches for fraud: what it found, where it leads, and what it keeps to itself."""

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest

from app.services.fraud import watch
from app.utils.clock import cut_to_second, utc_now
from tests.conftest import forget
from tests.feeding import Feed, evaluate, log
from tests.integration.api.conftest import Api
from tests.integration.console.conftest import Browser
from tests.integration.console.statements import MAX_STATEMENTS, count_statements
from tests.integration.console.test_rule_pages import form_fields

GOOD: dict[str, Any] = {"status": "delivered", "error_code": None, "to_country": "GB"}


@pytest.fixture
def masked(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MASK_NUMBERS", "true")
    forget()


def pump(count: int = 30) -> Feed:
    """Store messages to consecutive numbers of a country that got none before."""
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=60))
    at = now - timedelta(minutes=30)
    feed.store([log(each, at, **GOOD, to=f"+447700900{each:03}", price=Decimal(-1)) for each in range(count)], now)
    feed.complete(now, now - timedelta(days=59))
    return feed


def rule_addresses(page: str) -> list[str]:
    return [unescape(each) for each in re.findall(r'href="(/rules/new[^"]*)"', page)]


@pytest.mark.usefixtures("warm_caches")
async def test_the_page_shows_what_it_found_with_advice_in_few_statements(browser: Browser) -> None:
    pump()
    await browser.sign_in()
    await browser.get("/fraud")
    with count_statements() as statements:
        page = (await browser.get("/fraud")).text
    assert len(statements) <= MAX_STATEMENTS
    assert "30 messages to United Kingdom (GB), which got none in the 30 days before." in page
    assert "30 messages to 30 numbers that all begin with +447700900" in page
    assert "3 things look like pumping or toll fraud in the last 24 hours." in page
    assert "geographic permissions" in page
    assert 'href="/fraud" aria-current="page"' in page
    assert (await browser.get("/fraud?span=x")).status_code == 200


async def test_a_rule_is_made_in_one_click(browser: Browser) -> None:
    pump()
    await browser.sign_in()
    addresses = rule_addresses((await browser.get("/fraud")).text)
    assert len(addresses) == 3
    (address,) = [each for each in addresses if "startsWith" in each]
    form = (await browser.get(address)).text
    assert "log.to.startsWith(&#34;+447700900&#34;)" in form
    assert "Burst of messages to +447700900" in form
    assert re.search('name="severity" value="warning" checked', form)


async def test_each_rule_that_the_page_offers_is_saved_as_the_api_gives_it(browser: Browser, api: Api) -> None:
    now = cut_to_second(utc_now())
    feed = pump()
    calls = [
        log(
            100 + each, now - timedelta(minutes=30), log_type="call", status="completed", error_code=None,
            to=f"+25261234{each:03}", to_country="SO", duration_seconds=1, price=Decimal(-1),
        )
        for each in range(30)
    ]  # fmt: skip
    feed.store(calls, now)
    await browser.sign_in()
    addresses = rule_addresses((await browser.get("/fraud")).text)
    wanted = [each["rule"] for each in (await api.get("/api/fraud")).json()["items"]]
    assert len(addresses) == len(wanted) == 8
    for address, body in zip(addresses, wanted, strict=True):
        saved = await save_rule(browser, api, address)
        assert saved["filters"].items() >= body["filters"].items()
        assert saved["condition"].items() >= body["condition"].items()
        plain = {name: value for name, value in body.items() if name not in ("filters", "condition")}
        assert {name: saved[name] for name in plain} == plain


async def test_a_rule_of_the_page_alerts_when_it_continues(browser: Browser, api: Api) -> None:
    feed = pump()
    await browser.sign_in()
    (address,) = [each for each in rule_addresses((await browser.get("/fraud")).text) if "startsWith" in each]
    await save_rule(browser, api, address)
    at = cut_to_second(utc_now()) + timedelta(seconds=2)
    feed.store([log(1000 + each, at, **GOOD, to=f"+447700900{500 + each}") for each in range(9)], at)
    feed.store([log(2000 + each, at, **GOOD, to=f"+447701900{each:03}") for each in range(50)], at)
    evaluate(at)
    assert (await api.get("/api/alerts")).json()["items"] == []
    feed.store([log(3000, at, **GOOD, to="+447700900999")], at)
    evaluate(at)
    (alert,) = (await api.get("/api/alerts")).json()["items"]
    assert (alert["rule_name"], alert["occurrences"]) == ("Burst of messages to +447700900", 10)


async def save_rule(browser: Browser, api: Api, address: str) -> dict[str, Any]:
    """Send the form at an address as it stands, and return the rule that it made."""
    page = (await browser.get(address)).text
    fields = form_fields(page.partition('action="/rules"')[2].partition("</form>")[0])
    answer = await browser.post("/rules", data=fields)
    assert answer.status_code == 303, answer.text
    saved: dict[str, Any] = (await api.get("/api/rules")).json()["items"][0]
    return saved


@pytest.mark.usefixtures("masked")
async def test_masked_numbers_stand_neither_in_the_page_nor_in_the_api(browser: Browser, api: Api) -> None:
    pump()
    await browser.sign_in()
    page = (await browser.get("/fraud")).text
    assert "all begin with +4477•••" in page
    assert "447700900" not in page
    answer = (await api.get("/api/fraud")).text
    assert "447700900" not in answer


async def test_the_api_shows_the_same(browser: Browser, api: Api) -> None:
    pump()
    answer = (await api.get("/api/fraud?since=2h")).json()
    assert [each["kind"] for each in answer["items"]] == ["new_country", "spend_surge", "consecutive_numbers"]
    assert [(each["to_country"], each["count"], each["usual"]) for each in answer["countries"]] == [("GB", 30, 0.0)]
    assert answer["spend"][0]["amount"] == "30.0000"
    assert (await api.post("/api/rules", json=answer["items"][2]["rule"])).status_code == 201
    assert (await api.get("/api/fraud?since=8d")).status_code == 422


@pytest.mark.usefixtures("cold_caches")
async def test_a_pump_to_an_international_network_is_seen_and_its_links_show_the_same_number(
    browser: Browser, database: str
) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=60))
    nowhere: dict[str, Any] = {"status": "delivered", "error_code": None, "to_country": None, "price": Decimal("-0.1")}
    logs = [
        log(number, now - timedelta(minutes=90, seconds=number), **nowhere, to=f"+88299{number * 4973 % 10**6:06}")
        for number in range(200)
    ]
    feed.store(logs, now)
    feed.store([log(1000, now - timedelta(hours=25), **nowhere, to="+88299123456")], now)
    feed.complete(now, now - timedelta(hours=48))
    await browser.sign_in()
    page = (await browser.get("/fraud")).text
    assert "1 thing looks like pumping or toll fraud in the last 24 hours." in page
    assert "200 messages to +882: international networks." in page
    links = {unescape(each) for each in re.findall(r'href="(/logs[?]log_type=[^"]*)"', page)}
    assert len(links) == 2, "by prefix, and of the row in both tables"
    for link in links:
        assert "200 logs, 0 failed." in (await browser.get(link)).text, link


@pytest.mark.usefixtures("cold_caches")
async def test_an_hour_is_the_last_hour(browser: Browser, database: str) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=60))
    feed.store([log(number, now - timedelta(minutes=number), **GOOD) for number in (2, 58, 62, 119)], now)
    await browser.sign_in()
    table = (await browser.get("/fraud?span=1h")).text.partition('id="countries-h"')[2]
    assert re.findall(r'<td class="num">([0-9]+)</td>', table)[0] == "2"


@pytest.mark.parametrize(
    ("since", "until", "status"),
    [
        ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z", 422),
        ("9999-12-31T00:00:00Z", "9999-12-31T23:59:59Z", 200),
        ("2026-11-23T06:10:00%2B05:30", "2026-11-23T06:20:00%2B05:30", 200),
        ("2026-11-23T06:10:00Z", "2026-11-23T06:10:00Z", 422),
        ("tomorrow", "2026-11-23T06:10:00Z", 422),
    ],
)
async def test_odd_spans_are_answered(api: Api, since: str, until: str, status: int) -> None:
    assert (await api.get(f"/api/fraud?since={since}&until={until}")).status_code == status


@pytest.mark.usefixtures("cold_caches")
async def test_empty_and_oversized_results_are_explained(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    await browser.sign_in()
    page = (await browser.get("/fraud")).text
    assert "Nothing looks like pumping or toll fraud in the last 24 hours, as far as is known yet." in page
    assert "not known yet" in page
    monkeypatch.setattr(watch, "MAX_SPAN", timedelta(minutes=1))
    assert "This is too much to look at" in (await browser.get("/fraud")).text
