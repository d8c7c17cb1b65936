"""The pages of logs: filters in the address, the plot, the download, a rule from filters, and one log."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from app.database import session_scope
from app.enums import Scope
from app.models import Account
from app.services.logs import relaxed_filters
from app.utils.clock import utc_now
from tests.feeding import ACCOUNT, Feed, evaluate, log
from tests.integration.api.conftest import RULE, Api
from tests.integration.console.conftest import Browser
from tests.integration.console.statements import MAX_STATEMENTS, count_statements
from tests.integration.console.test_alert_pages import HOSTILE

SID = "SM" + "0" * 32


def feed() -> Feed:
    """Store three failed messages, one delivered one, a call, and an entry of the error log about a message."""
    now = utc_now()
    account = Feed(now - timedelta(days=20))
    messages = [log(number, now - timedelta(hours=1 + number), text=f"text {number}") for number in range(3)]
    messages.append(log(9, now - timedelta(minutes=5), status="delivered", error_code=None, to_country="US"))
    account.store(messages, now)
    account.store([log(1, now - timedelta(hours=2), log_type="call", status="completed", error_code=None)], now)
    account.store([log(1, now - timedelta(hours=1), log_type="error", resource_sid=SID, status=None)], now)
    account.complete(now, now - timedelta(days=20))
    return account


def link_named(page: str, words: str) -> str:
    found = re.search(
        rf'<a[^>]*href="([^"]+)"[^>]*>(?:<svg(?:(?!</svg>).)*</svg>)?{re.escape(words)}</a>', page, re.DOTALL
    )
    assert found is not None, words
    return unescape(found[1])


async def test_the_plot_counts_what_the_filters_let_through(browser: Browser) -> None:
    feed()
    await browser.sign_in()
    assert "6 logs" in (await browser.get("/logs")).text
    page = (await browser.get("/logs?log_type=message&status=failed,undelivered")).text
    assert "3 logs" in page
    assert 'class="bars-bad"' in page
    assert 'class="bars-good"' not in page
    assert "0 logs" in (await browser.get("/logs?to_country=FR")).text


async def test_each_bar_leads_to_its_logs_with_the_same_filters(browser: Browser) -> None:
    feed()
    await browser.sign_in()
    page = (await browser.get("/logs?status=undelivered")).text
    hit = unescape(page.partition('class="hit"')[0].rpartition('href="')[2].partition('"')[0])
    query = parse_qs(urlsplit(hit).query)
    assert query["status"] == ["undelivered"]
    assert query["since"][0] < query["until"][0]


async def test_a_plot_that_is_slow_is_asked_for_apart(browser: Browser) -> None:
    feed()
    await browser.sign_in()
    page = (await browser.get("/logs?q=text&since=30d")).text
    assert 'data-fragment="plot"' in page
    assert 'class="bars' not in page
    plot = (await browser.get("/logs?q=text&since=30d&plot=yes", headers={"X-Fragment": "plot"})).text
    assert "3 logs" in plot
    assert "<html" not in plot


async def test_the_menu_offers_every_filter_and_keeps_those_that_are_set(browser: Browser) -> None:
    feed()
    await browser.sign_in()
    page = (await browser.get("/logs?status=failed&to_country=GB")).text
    assert link_named(page, "undelivered") == "/logs?status=failed%2Cundelivered&to_country=GB"
    assert link_named(page, "calls") == "/logs?status=failed&to_country=GB&log_type=call"
    for name in ("error_code", "from", "to", "messaging_service_sid", "account_sid", "since", "until"):
        assert f'id="add-{name}"' in page
    assert 'id="add-to_country"' not in page


async def test_a_form_that_was_filled_in_partly_becomes_a_clean_address(browser: Browser) -> None:
    await browser.sign_in()
    browser.cookies.set("zone", "Asia/Kolkata")
    answer = await browser.get("/logs?status=failed&from=&error_code=30007&since=2026-01-02T05:30&until=")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/logs?status=failed&error_code=30007&since=2026-01-02T00%3A00%3A00Z"
    page = (await browser.get(answer.headers["location"])).text
    assert "from: 2 Jan" in page
    assert "05:30" in page


async def test_an_invalid_filter_is_reported_and_the_others_apply(browser: Browser) -> None:
    feed()
    await browser.sign_in()
    page = (await browser.get("/logs?status=FAILED!&to_country=US")).text
    assert "must be a status of Twilio" in page
    assert "is left out: what follows is found without it" in page
    assert "delivered" in page
    assert f'href="/logs/{SID}"' not in page
    assert "FAILED" not in link_named(page, "Make a rule from this")
    assert "FAILED" not in link_named(page, "CSV")


async def test_a_span_that_ends_before_it_begins_is_said(browser: Browser) -> None:
    feed()
    await browser.sign_in()
    page = (await browser.get("/logs?since=24h&until=2020-01-01T00:00:00Z")).text
    assert "ends the span before it begins" in page
    assert f'href="/logs/{SID}"' in page, "the other filters apply"


async def test_nothing_found_offers_to_drop_a_filter(browser: Browser) -> None:
    feed()
    await browser.sign_in()
    page = (await browser.get("/logs?to_country=FR&status=undelivered")).text
    assert "No log fits" in page
    dropped = re.findall(r'href="([^"]+)">Drop ([^<]+) <span class="soft">([^<]+)</span>', page)
    assert [(unescape(href), words, found) for href, words, found in dropped] == [
        ("/logs?status=undelivered", "to country: FR", "3 logs")
    ]
    none = (await browser.get("/logs?to_country=FR&status=busy")).text
    assert "Dropping one filter alone brings none either." in none


async def test_what_a_dropped_filter_brings_is_counted_only_where_that_is_quick(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed()
    await browser.sign_in()
    monkeypatch.setattr(relaxed_filters, "MOST", 2)
    assert "more than 2 logs" in (await browser.get("/logs?to_country=FR&status=undelivered")).text
    monkeypatch.setattr(relaxed_filters, "SECONDS", 0)  # a millisecond
    monkeypatch.setattr(relaxed_filters, "conditions", lambda _: [text("pg_sleep(1) IS NOT NULL")])
    page = (await browser.get("/logs?to_country=FR&status=undelivered")).text
    assert link_named(page, "Drop to country: FR") == "/logs?status=undelivered"
    assert link_named(page, "Drop status: undelivered") == "/logs?to_country=FR"


async def test_the_download_is_what_the_filters_say(browser: Browser, api: Api) -> None:
    feed()
    await browser.sign_in()
    answer = await browser.get("/logs.csv?status=undelivered&log_type=message")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text == (await api.get("/api/logs.csv?status=undelivered&log_type=message")).text
    async with Browser(browser.app) as stranger:
        assert (await stranger.get("/logs.csv")).status_code == 303


async def test_a_rule_takes_over_the_filters(browser: Browser) -> None:
    await browser.sign_in()
    page = (await browser.get("/logs?log_type=message&status=undelivered&error_code=30007&to_country=US&since=7d")).text
    form = (await browser.get(link_named(page, "Make a rule from this"))).text
    assert "log.error_code in [30007] &amp;&amp; log.status in [&#34;undelivered&#34;]" in form
    assert 'name="filters.to_country" value="US"' in form
    words = (await browser.get("/rules/new?q=parcel&log_type=message,call")).text
    assert "parcel" in words
    assert '<option value="keyword" selected>' in words
    assert 'name="log_type" value="any" checked' in words


@pytest.mark.usefixtures("warm_caches")
async def test_lists_and_logs_cost_few_statements(browser: Browser, api: Api) -> None:
    feed()
    await api.post("/api/rules", json=RULE)
    await browser.sign_in()
    for path in ("/logs", f"/logs/{SID}"):
        await browser.get(path)
        with count_statements() as statements:
            assert (await browser.get(path)).status_code == 200
        assert len(statements) <= MAX_STATEMENTS, (path, statements)


async def test_one_log_shows_its_states_rules_alerts_and_related_entries(browser: Browser, api: Api) -> None:
    now = utc_now()
    account = Feed(now - timedelta(days=20))
    await api.post("/api/rules", json=RULE | {"name": "It <b>matches</b>"})
    await api.post("/api/rules", json=RULE | {"name": "Another code", "pattern_value": "30034"})
    account.store([log(0, now, status="sent", error_code=None, text=HOSTILE + "“")], now)
    account.store([log(0, now, changed_at=now + timedelta(seconds=7), text=HOSTILE + "“")], now + timedelta(seconds=9))
    account.store([log(1, now, log_type="error", resource_sid=SID, status=None)], now)
    account.complete(now + timedelta(seconds=9), now - timedelta(days=20))
    evaluate(now + timedelta(seconds=10))
    await browser.sign_in()
    page = (await browser.get(f"/logs/{SID}")).text
    assert "7 s later" in page
    assert "by poll" in page
    assert "It &lt;b&gt;matches&lt;/b&gt;" in page
    assert "Another code" not in page
    assert "Alerts that count it" in page
    assert "UCS-2" in page
    assert "<script>alert(1)" not in page
    assert f"https://www.twilio.com/console/sms/logs/{account_sid(page)}/{SID}" in page
    assert 'data-copy="raw"' in page
    entry = "NO" + f"{1:032x}"
    assert f'href="/logs/{entry}"' in page
    assert f'href="/logs/{SID}"' in (await browser.get(f"/logs/{entry}")).text


def account_sid(page: str) -> str:
    found = re.search(r"AC[0-9a-f]{32}", page)
    assert found is not None
    return found[0]


async def test_a_log_names_its_account(browser: Browser) -> None:
    account = feed()
    await browser.sign_in()
    assert f'/accounts/{ACCOUNT}"><bdi>{ACCOUNT}</bdi></a>' in (await browser.get(f"/logs/{SID}")).text
    with session_scope() as session:
        session.get_one(Account, account.account_id).friendly_name = "Client <b>"
    assert f'/accounts/{ACCOUNT}"><bdi>Client &lt;b&gt;</bdi></a>' in (await browser.get(f"/logs/{SID}")).text


async def test_a_price_that_comes_later_is_said(browser: Browser) -> None:
    now = utc_now()
    account = Feed(now - timedelta(days=20))
    account.store([log(0, now, price=None, price_unit=None)], now)
    account.store([log(0, now, updated_at=now + timedelta(minutes=2))], now + timedelta(minutes=2))
    await browser.sign_in()
    page = (await browser.get(f"/logs/{SID}")).text
    assert page.count("<strong>undelivered</strong>") == 2
    assert "its price changed" in page


async def test_a_code_that_joins_a_call_is_one_change(browser: Browser) -> None:
    now = utc_now()
    account = Feed(now - timedelta(days=20))
    account.store([log(0, now, error_code=None, error_message=None)], now)
    coded = log(0, now, updated_at=now + timedelta(minutes=2), error_message="Unreachable")
    account.store([coded], now + timedelta(minutes=2))
    await browser.sign_in()
    assert ">its error code changed<" in (await browser.get(f"/logs/{SID}")).text


async def test_an_entry_of_the_error_log_is_named_by_what_it_means(browser: Browser) -> None:
    now = utc_now()
    entry = log(1, now, log_type="error", error_message="HTTP retrieval failure", text="ErrorCode: 11200")
    Feed(now - timedelta(days=20)).store([entry], now)
    await browser.sign_in()
    found = re.search(r'href="(/logs/NO[0-9a-f]+)".*?<span class="why">(.*?)</span>', (await browser.get("/logs")).text)
    assert found is not None
    assert "HTTP retrieval failure" in found[2]
    assert "<h1><bdi>HTTP retrieval failure</bdi></h1>" in (await browser.get(found[1])).text


async def test_a_log_that_no_rule_matches_says_so(browser: Browser, api: Api) -> None:
    feed()
    await browser.sign_in()
    assert "/rules/new?log_type=message&amp;error_code=30003" in (await browser.get(f"/logs/{SID}")).text
    await browser.sign_in(await api.key(Scope.READ))
    assert "/rules/new" not in (await browser.get(f"/logs/{SID}")).text
