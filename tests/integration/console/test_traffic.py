"""The traffic of the overview, beside that of a week before where that is known."""

from datetime import timedelta
from typing import Any

import pytest

from app.utils.clock import cut_to_second, utc_now
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


async def test_the_share_delivered_is_that_of_all_messages_whatever_the_hour(browser: Browser, feed: Feed) -> None:
    now = cut_to_second(utc_now())
    feed.store([log(500 + number, now - timedelta(hours=6)) for number in range(1)], now)
    await browser.sign_in()
    assert "90.9% delivered in 24 hours" in (await browser.get("/")).text
