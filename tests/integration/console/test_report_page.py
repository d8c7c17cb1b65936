"""The page of a report: what the API says, in the viewer's zone, by the address."""

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest

from app.utils.clock import rfc3339, utc_now
from tests.feeding import Feed, log
from tests.integration.api.conftest import EMAIL, Api
from tests.integration.console.conftest import Browser, leads_to
from tests.integration.console.test_action_pages import MAIL, edit_form, only_action
from tests.integration.console.test_alert_pages import HOSTILE, make_alert

REPORT = {"report_every": "week", "report_weekday": "fri", "report_at": "07:30", "report_timezone": "Europe/Berlin"}
SCHEDULE = {"every": "week", "weekday": "fri", "at": "07:30", "timezone": "Europe/Berlin"}


@pytest.fixture
def feed(database: str) -> Feed:  # the database to feed
    return Feed(utc_now() - timedelta(days=30))


async def test_the_page_shows_what_the_api_says(browser: Browser, api: Api, feed: Feed) -> None:
    now = utc_now()
    feed.complete(now, now - timedelta(days=30))
    feed.store([log(number, now - timedelta(hours=3, minutes=number)) for number in range(7)], now)
    make_alert(rule_name=HOSTILE, summary=HOSTILE, started_at=now - timedelta(hours=2))
    span = {"since": rfc3339(now - timedelta(days=1)), "until": rfc3339(now)}
    told: dict[str, Any] = (await api.get("/api/report", params=span)).json()
    assert (told["traffic"]["total"], told["alerts"]["total"]) == (7, 1)
    await browser.sign_in()
    page = (await browser.get("/report", params=span)).text
    assert '<p class="figure">7 ' in page
    assert told["error_codes"][0]["next_step"] in page
    assert "/error-codes/30003" in page
    assert "1 alert (0 before), 1 still open." in page
    assert HOSTILE not in page, "what is foreign is text"
    assert "Not all of this time was read" not in page


async def test_a_time_before_that_was_not_read_is_not_compared_with(browser: Browser, feed: Feed) -> None:
    now = utc_now()
    feed.complete(now, now - timedelta(hours=30))
    feed.store([log(number, now - timedelta(hours=3), price=Decimal("-0.01")) for number in range(7)], now)
    await browser.sign_in()
    span = {"since": rfc3339(now - timedelta(days=1)), "until": rfc3339(now)}
    page = (await browser.get("/report", params=span)).text
    assert "was not completely read, so nothing is compared" in page
    assert " before</small>" not in page


async def test_a_day_and_a_week_are_chosen_and_lead_to_the_ones_before(browser: Browser) -> None:
    await browser.sign_in()
    for every in ("day", "week"):
        page = (await browser.get("/report", params={"every": every})).text
        assert f'href="/report?every={every}" aria-current="true"' in page
        assert 'rel="prev"' in page
        assert 'rel="next"' not in page, "there is no later one yet"
    past = await browser.get("/report?since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z")
    assert "since=2026-10-31T00:00:00Z&amp;until=2026-11-01T00:00:00Z" in past.text
    assert 'rel="next"' in past.text


async def test_a_report_ends_where_all_is_read_and_leads_to_its_delivery(browser: Browser, feed: Feed) -> None:
    read_until = utc_now().replace(second=0, microsecond=0) - timedelta(minutes=3)
    feed.complete(read_until + timedelta(seconds=20), read_until - timedelta(days=30))
    make_alert(started_at=read_until - timedelta(minutes=2))
    await browser.sign_in()
    page = (await browser.get("/report?every=day")).text
    assert "Look at the 1 alert of this time that is open." in page
    (link,) = [unescape(each) for each in re.findall(r'href="(/delivery[?][^"]+)"', page)]
    assert link == f"/delivery?since={rfc3339(read_until - timedelta(days=1))}&until={rfc3339(read_until)}"
    assert "Not all of this time was read" not in page
    assert (await browser.get(link)).status_code == 200


async def test_times_are_those_of_the_viewer(browser: Browser) -> None:
    browser.cookies.set("zone", "Europe/Berlin")
    await browser.sign_in()
    page = (await browser.get("/report?since=2026-10-25T00:00:00Z&until=2026-10-26T00:00:00Z")).text
    assert "Sun 25 Oct 2026, 02:00 to Mon 26 Oct 2026, 01:00 (Europe/Berlin)" in page


async def test_a_span_that_is_not_read_whole_says_so(browser: Browser, feed: Feed) -> None:
    feed.complete(utc_now() - timedelta(hours=9), utc_now() - timedelta(days=30))
    await browser.sign_in()
    page = (await browser.get("/report?every=day")).text
    assert "Not all of this time was read" in page
    assert "not read yet" in page


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=2026-11-02T00:00:00Z&until=2026-11-01T00:00:00Z",
        "since=500d",
        "since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z",
    ],
)
async def test_an_address_that_names_no_span_is_answered_in_words(browser: Browser, query: str) -> None:
    await browser.sign_in()
    answer = await browser.get(f"/report?{query}")
    assert answer.status_code == 422
    assert "There is no such report" in answer.text
    assert "time of the address" not in answer.text


@pytest.mark.parametrize("span", ["since=0001-01-01T00:00:00Z&until=0001-01-02T00:00:00Z", "since=1h", "since=92d"])
async def test_the_oldest_shortest_and_longest_reports_render(browser: Browser, span: str) -> None:
    await browser.sign_in()
    assert (await browser.get(f"/report?{span}")).status_code == 200


async def test_reports_of_an_action_are_chosen_in_its_form(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    await browser.submit("/actions", **MAIL, **REPORT)
    action = await only_action(api)
    assert action["report"] == SCHEDULE
    page = (await browser.get(f"/actions/{action['id']}")).text
    assert 'name="report_every" value="week" checked' in page
    assert '<option value="fri" selected>' in page
    fields = await edit_form(browser, action["id"], **MAIL, **REPORT, severity="info")
    assert leads_to(await browser.submit(f"/actions/{action['id']}", **fields))
    assert (await only_action(api))["report"] == SCHEDULE
    fields = await edit_form(browser, action["id"], **MAIL, **REPORT | {"report_every": ""})
    await browser.submit(f"/actions/{action['id']}", **fields)
    assert (await only_action(api))["report"] is None


async def test_a_zone_that_does_not_exist_is_said_at_its_field(browser: Browser, api: Api) -> None:
    await browser.sign_in()
    answer = await browser.submit("/actions", **MAIL, **REPORT | {"report_timezone": "Europe/Bielefeld"})
    assert answer.status_code == 422
    assert 'id="report_timezone-wrong"' in answer.text
    assert "Europe/Bielefeld" in answer.text
    assert (await api.get("/api/actions")).json()["items"] == []


async def test_a_report_to_pagerduty_is_refused_where_it_was_chosen(browser: Browser) -> None:
    await browser.sign_in()
    hook = {
        **MAIL,
        "action_type": "webhook",
        "format": "pagerduty",
        "routing_key": "abc",
        "method": "POST",
        "headers": "",
    }
    answer = await browser.submit("/actions", **hook, **REPORT)
    assert answer.status_code == 422
    assert 'id="report_every-wrong"' in answer.text


async def test_the_api_takes_keeps_and_audits_a_report(api: Api) -> None:
    made = (await api.post("/api/actions", json=EMAIL | {"report": {"every": "day"}})).json()
    assert made["report"] == {"every": "day", "weekday": "mon", "at": "08:00", "timezone": "UTC"}
    edited = (await api.patch(f"/api/actions/{made['id']}", json={"min_severity": "critical"})).json()
    assert edited["report"] == made["report"]
    sent_back = await api.put(f"/api/actions/{made['id']}", json=edited)
    assert sent_back.json()["report"] == made["report"]
    await api.patch(f"/api/actions/{made['id']}", json={"report": None})
    entry = (await api.get("/api/audit")).json()["items"][0]
    assert (entry["before"]["report"], entry["after"]["report"]) == (made["report"], None)
    refused = await api.post("/api/actions", json=EMAIL | {"report": {"every": "day", "timezone": "Mars/Olympus"}})
    assert [error["field"] for error in refused.json()["errors"]] == ["report.timezone"]


async def test_a_report_is_exported_and_imported(api: Api) -> None:
    await api.post("/api/actions", json=EMAIL | {"report": SCHEDULE})
    document = (await api.get("/api/export")).text
    assert "timezone: Europe/Berlin" in document
    headers = {"Content-Type": "application/yaml"}
    again = await api.post("/api/import", content=document, headers=headers)
    assert again.json()["changes"] == []
    without = document.replace("timezone: Europe/Berlin", "timezone: Asia/Kolkata")
    changed = await api.post("/api/import", content=without, headers=headers)
    assert changed.status_code == 200, changed.text
    assert (await only_action(api))["report"]["timezone"] == "Asia/Kolkata"
