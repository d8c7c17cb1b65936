"""The table of delivery: its rows, its order, and what it marks as worse."""

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest

from app.api.console.pages import delivery
from app.api.console.pages.delivery import is_worse
from app.services.logs import cells
from app.services.logs.breakdown import Breakdown
from app.utils.clock import cut_to_second, rfc3339, utc_now
from tests.feeding import Feed, log
from tests.integration.console.conftest import Browser
from tests.integration.console.test_alert_pages import HOSTILE

GOOD: dict[str, Any] = {"status": "delivered", "error_code": None}


def rows(page: str) -> list[str]:
    """The names of the rows, in their order."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [re.sub("<[^>]+>", "", each) for each in re.findall(r"<tr>\s*<td>(?:<a[^>]*>)?<bdi>(.*?)</bdi>", body)]


@pytest.fixture
def feed(database: str) -> Feed:
    return Feed(utc_now() - timedelta(days=60))


def store(feed: Feed, first: int, count: int, days: float = 0.1, **fields: Any) -> None:
    at = cut_to_second(utc_now() - timedelta(days=days))
    feed.store([log(first + number, at, **fields) for number in range(count)], utc_now())


async def test_rows_lead_to_their_logs_and_the_table_is_sorted_as_asked(browser: Browser, feed: Feed) -> None:
    store(feed, 1, 3, to_country="GB")
    store(feed, 100, 9, to_country="US", **GOOD)
    store(feed, 200, 1, to_country="US")
    store(feed, 300, 4, to_country="FR", direction="inbound", status="received", error_code=None)
    await browser.sign_in()
    page = (await browser.get("/delivery")).text
    assert rows(page) == ["United Kingdom (GB)", "United States (US)"]
    assert "direction=outbound-api,outbound-call,outbound-reply&amp;to_country=GB" in page
    assert "90%" in page
    assert 'href="/error-codes/30003"' in page
    assert rows((await browser.get("/delivery?sort=total")).text) == ["United States (US)", "United Kingdom (GB)"]
    assert 'aria-sort="descending"' in page
    assert rows((await browser.get("/delivery?by=error_code")).text) == ["30003"]
    assert (await browser.get("/delivery?by=x&sort=y&span=z")).status_code == 200


@pytest.mark.usefixtures("cold_caches")
async def test_numbers_without_a_country_have_a_link_and_a_price_that_counts_known_ones_alone(
    browser: Browser, feed: Feed
) -> None:
    nowhere: dict[str, Any] = {"to": "+88299123456", "to_country": None}
    store(feed, 1, 3, **nowhere, **GOOD, price=Decimal("-0.1"))
    store(feed, 100, 7, **nowhere, **GOOD, price=None)
    store(feed, 200, 2, to_country="GB")
    await browser.sign_in()
    page = (await browser.get("/delivery?sort=total")).text
    assert rows(page) == ["no country (international networks, short codes)", "United Kingdom (GB)"]
    assert "0.1000 USD" in page
    links = [unescape(each) for each in re.findall(r'href="(/logs[?]log_type=[^"]+)"', page)]
    for link, count in zip(links, (10, 2), strict=True):
        assert f"{count} logs, " in (await browser.get(link)).text, link
    page = (await browser.get("/delivery?by=messaging_service_sid")).text
    assert rows(page) == ["no messaging service"]
    assert "messaging_service_sid=none" in page


@pytest.mark.usefixtures("cold_caches")
async def test_a_code_counts_once_among_calls_and_entries_of_the_error_log(browser: Browser, feed: Feed) -> None:
    store(feed, 1, 3, log_type="error", error_code=13224)
    store(feed, 1, 3, log_type="call", status="completed", error_code=13224)
    await browser.sign_in()
    page = (await browser.get("/delivery?by=error_code")).text
    (link,) = [unescape(each) for each in re.findall(r'href="(/logs[?]log_type=[^"]+)"', page)]
    assert re.findall(r'<td class="num">([0-9]+)</td>', page) == ["3"]
    assert "3 logs, " in (await browser.get(link)).text


@pytest.mark.usefixtures("cold_caches")
async def test_times_of_the_address_choose_the_span(browser: Browser, feed: Feed) -> None:
    store(feed, 1, 3, days=2)
    store(feed, 100, 1, days=0.1)
    until = cut_to_second(utc_now() - timedelta(days=1))
    await browser.sign_in()
    page = (await browser.get(f"/delivery?since={rfc3339(until - timedelta(days=2))}&until={rfc3339(until)}")).text
    assert '<td class="num">3</td>' in page
    assert "time of the same length before" in page
    assert f"since={rfc3339(until - timedelta(days=2))}&amp;until={rfc3339(until)}&amp;sort=total" in page
    assert "There is no such time" in (await browser.get("/delivery?since=banana")).text
    backwards = f"since={rfc3339(until)}&until={rfc3339(until - timedelta(days=2))}"
    assert "“until” must be later than since." in (await browser.get(f"/delivery?{backwards}")).text


@pytest.mark.usefixtures("cold_caches")
async def test_what_is_worse_than_before_is_marked(browser: Browser, feed: Feed) -> None:
    feed.complete(utc_now(), utc_now() - timedelta(days=60))
    for days, lost in ((1.1, 5), (0.1, 20)):
        store(feed, int(1000 * days), 100 - lost, days, **GOOD)
        store(feed, int(1000 * days) + 500, lost, days)
    await browser.sign_in()
    page = (await browser.get("/delivery")).text
    assert page.count("worse</span>") == 1
    assert "95%" in page
    feed.complete(utc_now(), utc_now() - timedelta(days=1.5))
    page = (await browser.get("/delivery")).text
    assert "worse</span>" not in page
    assert "95%" not in page
    assert "not completely read" in page


@pytest.mark.parametrize(
    ("final", "delivered", "before", "delivered_before", "worse"),
    [
        (100, 80, 100, 95, True),
        (100, 93, 100, 95, False),
        (100, 95, 100, 100, True),
        (100, 97, 100, 100, False),
        (49, 0, 100, 100, False),
        (100, 0, 49, 49, False),
        (100, 90, 100, 80, False),
    ],
)
def test_worse_needs_enough_messages_and_half_as_much_again(
    final: int, delivered: int, before: int, delivered_before: int, worse: bool
) -> None:
    figures = Breakdown("GB", final=final, delivered=delivered, final_before=before, delivered_before=delivered_before)
    assert is_worse(figures) is worse


@pytest.mark.usefixtures("cold_caches")
async def test_untrusted_text_is_shown_as_text_and_nothing_and_too_much_are_said(
    browser: Browser, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in()
    assert "No message was sent in this span." in (await browser.get("/delivery")).text
    store(feed, 1, 2, from_=HOSTILE)
    store(feed, 100, 1)
    page = (await browser.get("/delivery?by=from&span=7d")).text
    assert "<script>alert(1)" not in page
    monkeypatch.setattr(delivery, "MAX_ROWS", 1)
    assert "1 more row is not shown." in (await browser.get("/delivery?by=from")).text
    monkeypatch.setattr(cells, "MAX_CELLS", 0)
    page = (await browser.get("/delivery?by=from")).text
    assert "This is too much to count" in page
