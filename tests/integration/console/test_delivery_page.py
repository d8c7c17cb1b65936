"""The table of delivery: its rows, its order, and what it marks as worse."""

import re
from datetime import timedelta
from typing import Any

import pytest

from app.api.console.pages import delivery
from app.api.console.pages.delivery import is_worse
from app.services.logs import cells
from app.services.logs.breakdown import Breakdown
from app.utils.clock import cut_to_second, utc_now
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
    assert "not read whole" in page


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
