"""The traffic of the overview, beside that of a week before where that is known."""

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest

from app.utils.clock import cut_to_second, rfc3339, utc_now
from tests.feeding import Feed, log
from tests.integration.console.conftest import Browser

GOOD: dict[str, Any] = {"status": "delivered", "error_code": None}
CALL: dict[str, Any] = {"log_type": "call", "status": "completed", "error_code": None}
WEEK = timedelta(days=7)


@pytest.fixture
def feed(database: str) -> Feed:
    """An account with half as many messages and calls a week ago."""
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=60))
    for at, count, first in ((now - timedelta(hours=3), 10, 1), (now - WEEK - timedelta(hours=3), 5, 100)):
        feed.store([log(first + number, at, **GOOD) for number in range(count)], now)
        feed.store([log(first + number, at, **CALL) for number in range(count)], now)
    return feed


@pytest.mark.usefixtures("cold_caches")
async def test_a_week_ago_that_was_not_read_is_no_figure(browser: Browser, feed: Feed) -> None:
    await browser.sign_in()
    feed.complete(utc_now(), utc_now() - 2 * WEEK)
    page = (await browser.get("/")).text
    assert page.count("+100% on last week") == 2
    assert "100% a week ago" in page
    feed.complete(utc_now(), utc_now() - timedelta(days=7.5))
    page = (await browser.get("/")).text
    assert "on last week" not in page
    assert "a week ago" not in page


@pytest.mark.usefixtures("cold_caches")
async def test_where_more_fails_than_usual_is_marked_and_codes_are_drawn_over_time(
    browser: Browser, database: str
) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=60))
    times = [now - timedelta(days=2)] * 40 + [now - timedelta(hours=2)] * 20
    failed = {*range(4), *range(40, 50)}
    feed.store(
        [log(each, at, to_country="GB", **({} if each in failed else GOOD)) for each, at in enumerate(times)], now
    )
    await browser.sign_in()
    feed.complete(now, now - 3 * WEEK)
    page = unescape((await browser.get("/")).text)
    row = next(each for each in page.split("<tr>") if "to_country=GB" in each)
    assert '<td class="num bad strong">50%</td><td class="num soft">10%</td>' in row
    code = next(each for each in page.split("<tr>") if "/error-codes/30003" in each)
    assert 'class="spark"' in code
    feed.complete(now, now - timedelta(days=3))
    page = (await browser.get("/")).text
    row = next(each for each in page.split("<tr>") if "to_country=GB" in each)
    assert '<td class="num soft">10%</td>' not in row, "the week before was not read whole"


def figures(page: str) -> list[int]:
    """The large figures of the overview that are counts: messages and calls."""
    return [int(each.replace(",", "")) for each in re.findall(r'<p class="figure">([0-9,]+) ', page)]


@pytest.mark.usefixtures("cold_caches")
@pytest.mark.parametrize(("span", "hours"), [("1h", 1), ("24h", 24), ("7d", 168)])
async def test_a_span_ends_now_and_its_links_show_the_same_number(
    browser: Browser, database: str, span: str, hours: int
) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=60))
    begin = now - timedelta(hours=hours)
    times = [begin - timedelta(minutes=2), begin + timedelta(minutes=2), now - timedelta(minutes=2)]
    feed.store([log(number, at) for number, at in enumerate(times)], now)
    await browser.sign_in()
    page = (await browser.get(f"/?span={span}")).text
    assert figures(page) == [2, 0]
    assert "2 failed in" in page
    links = {unescape(each) for each in re.findall(r'href="(/logs[?]log_type=message[^"]*since=[^"]*)"', page)}
    assert len(links) > 2
    for link in links - {each for each in links if "since=7d" in each}:
        whole = link.endswith(f"until={rfc3339(now)}") and f"since={rfc3339(begin)}" in link
        shown = (await browser.get(link)).text
        assert not whole or "2 logs, 2 failed." in shown, link


@pytest.mark.usefixtures("cold_caches")
async def test_where_it_fails_counts_what_was_sent_and_knows_numbers_of_no_country(
    browser: Browser, database: str
) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=60))
    received: dict[str, Any] = {"direction": "inbound", "status": "received", "error_code": None}
    at = now - timedelta(hours=2)
    feed.store([log(number, at, to_country="US", **received) for number in range(6)], now)
    feed.store([log(10 + number, at, to_country="US") for number in range(2)], now)
    feed.store([log(20 + number, at, to="+88299123456", to_country=None, **GOOD) for number in range(3)], now)
    await browser.sign_in()
    table = (await browser.get("/")).text.partition('id="where-h"')[2].partition("<table>")[2].partition("</table>")[0]
    cells = re.findall(r'<td class="num(?: bad strong)?">([^<]*)</td>', table)
    assert cells == ["2", "100%", "3", "0%"]
    assert "no country" in table
    for link, count in zip(re.findall(r'href="([^"]+)"', table), (2, 3), strict=True):
        assert re.search(f"{count} logs?, ", (await browser.get(unescape(link))).text), link


@pytest.mark.usefixtures("cold_caches")
async def test_where_it_fails_is_shown_by_sender_too(browser: Browser, database: str) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=60))
    at = now - timedelta(hours=2)
    feed.store([log(number, at, from_="+14155550124") for number in range(3)], now)
    feed.store([log(10 + number, at, from_="+14155550125", **GOOD) for number in range(5)], now)
    feed.store([log(20, at, from_=None)], now)
    await browser.sign_in()
    page = (await browser.get("/?where=sender&span=7d")).text
    table = page.partition('id="where-h"')[2].partition("</table>")[0]
    assert re.findall(r'<td class="num(?: bad strong)?">([^<]*)</td>', table) == ["3", "100%", "1", "100%", "5", "0%"]
    assert "no sender" in table
    links = [unescape(each) for each in re.findall(r'href="(/logs[^"]+)"', table)]
    assert len(links) == 2
    assert "3 logs, 3 failed." in (await browser.get(links[0])).text
    assert 'href="/?span=7d&amp;where=country#where-h"' in page
    assert 'href="/?span=30d&amp;where=sender"' in page, "the span changes, and the tab stays"


@pytest.mark.usefixtures("cold_caches")
async def test_what_the_last_day_cost_stands_beside_the_usual(browser: Browser, database: str) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=60))
    priced: dict[str, Any] = {"to_country": "GB", "price": Decimal("-0.10"), "price_unit": "USD", **GOOD}
    await browser.sign_in()
    assert "What it costs" not in (await browser.get("/")).text, "no price is known"
    feed.store([log(number, now - timedelta(hours=2), **priced) for number in range(30)], now)
    for week in range(1, 5):
        feed.store([log(100 * week, now - timedelta(hours=2) - week * WEEK, **priced)], now)
    feed.complete(now, now - 5 * WEEK)
    table = (await browser.get("/?span=1h")).text.partition('id="spend-h"')[2].partition("</table>")[0]
    assert "3.00 <bdi>USD</bdi>" in table
    assert '<td class="num soft">0.10</td>' in table
    (link,) = re.findall(r'href="(/logs[^"]+)"', table)
    assert "30 logs, " in (await browser.get(unescape(link))).text


@pytest.mark.usefixtures("cold_caches")
async def test_a_code_counts_once_and_leads_to_as_many_logs(browser: Browser, database: str) -> None:
    now = cut_to_second(utc_now())
    feed = Feed(now - timedelta(days=60))
    at = now - timedelta(hours=2)
    feed.store([log(number, at, log_type="error", error_code=13224) for number in range(4)], now)
    feed.store([log(10 + number, at, **CALL | {"error_code": 13224}) for number in range(4)], now)
    await browser.sign_in()
    page = (await browser.get("/")).text
    table = page.partition('id="codes-h"')[2].partition("</table>")[0]
    (link,) = re.findall(r'href="(/logs[^"]+)">4</a>', table)
    assert "4 logs, " in (await browser.get(unescape(link))).text
    assert page.count('<a class="strong" href="/error-codes/13224">') == 2, "also among those that no rule watches"


async def test_the_share_delivered_is_that_of_all_messages_whatever_the_hour(browser: Browser, feed: Feed) -> None:
    now = cut_to_second(utc_now())
    feed.store([log(500 + number, now - timedelta(hours=6)) for number in range(1)], now)
    await browser.sign_in()
    assert "90.9% delivered in 24 hours" in (await browser.get("/")).text
