"""Pages stay small: what a phone loads at night."""

import random
from datetime import timedelta

from app.utils.clock import utc_now
from tests.feeding import Feed, evaluate, log
from tests.integration.api.conftest import RULE
from tests.integration.console.conftest import Browser

MAX_PAGE_BYTES = 25_000
WEEK_HOURS = 168
STATUSES = ("delivered", "undelivered")


def _fill_week() -> None:
    now = utc_now()
    feed = Feed(now - timedelta(days=8))
    dice = random.Random(7)
    logs = [
        log(hour * 10 + number, now - timedelta(hours=hour, minutes=5), status=dice.choice(STATUSES))
        for hour in range(WEEK_HOURS)
        for number in range(dice.randint(1, 9))
    ]
    feed.store(logs, now)
    feed.complete(now)
    evaluate(now)


async def test_the_overview_of_a_week_is_small_and_has_its_tables_when_asked(browser: Browser) -> None:
    _fill_week()
    await browser.sign_in()
    small = await browser.get("/?span=7d", headers={"Accept-Encoding": "gzip"})
    assert int(small.headers["content-length"]) <= MAX_PAGE_BYTES
    # A week that begins within an hour has parts of 169 hours.
    assert small.text.count('class="hit"') in (3 * WEEK_HOURS, 3 * (WEEK_HOURS + 1))
    assert 'href="/?span=7d&amp;tables=on"' in small.text
    large = await browser.get("/?span=7d&tables=on")
    assert large.text.count("<tr><td>") >= 3 * WEEK_HOURS
    assert "Show the page with its tables" not in large.text


async def test_a_preview_that_is_posted_without_script_has_its_table(browser: Browser) -> None:
    _fill_week()
    await browser.sign_in()
    fields = RULE | {
        "span": "24h",
        "severity": "warning",
        "condition": "threshold",
        "threshold.count": "3",
        "threshold.window_minutes": "60",
    }
    csrf = await browser.csrf()
    whole = await browser.post("/rules/preview", data={"csrf": csrf, **fields})
    assert "data-columns=" not in whole.text
    assert whole.text.count("<tr><td>") > whole.text.count('class="hit"') > 0
    part = await browser.post("/rules/preview", data={"csrf": csrf, **fields}, headers={"X-Fragment": "preview"})
    assert "data-columns=" in part.text
