"""What the console does in a browser, with script and without."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from playwright.sync_api import Browser, expect

from app.utils.clock import utc_now
from tests.conftest import API_KEY, forget
from tests.feeding import Feed, evaluate, log
from tests.integration.api.conftest import EMAIL, RULE, WEBHOOK, make_app
from tests.integration.api.serving import serving
from tests.integration.console.test_alert_pages import HOSTILE
from tests.kits.browsers import signed_in
from tests.kits.screenshots import open_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture
def address(database: str, environment: pytest.MonkeyPatch) -> Iterator[str]:
    """A console with an incident, whose texts mean harm."""
    environment.setenv("TWILIO_API_BASE_URL", "http://127.0.0.1:9")  # as if the simulator was watched
    forget()
    with serving(make_app()) as found:
        with httpx.Client(base_url=found, headers={"X-API-Key": API_KEY}) as api:
            for body in (
                RULE | {"name": HOSTILE.partition(" ")[0]},
                RULE | {"pattern_value": "30007", "enabled": False},
            ):
                api.post("/api/rules", json=body).raise_for_status()
            for body in (EMAIL, WEBHOOK):
                api.post("/api/actions", json=body).raise_for_status()
        now = utc_now()
        account = Feed(now - timedelta(days=20))
        account.store([log(number, now - timedelta(minutes=number), text=HOSTILE) for number in range(120)], now)
        account.complete(now, now - timedelta(days=20))
        evaluate(now)
        yield found


def test_the_strips_of_a_week_come_by_themselves_and_the_totals_last(browser: Browser, address: str) -> None:
    with signed_in(browser, address) as (page, _):
        page.goto(f"{address}/rules/week")
        expect(page.locator(".strip .on")).to_have_count(1)
        expect(page.locator(".facts")).to_contain_text("1 alert")
        expect(page.locator(".asks")).to_have_count(0)


def test_older_logs_are_appended(browser: Browser, address: str) -> None:
    with signed_in(browser, address) as (page, _):
        page.goto(f"{address}/logs")
        rows = page.locator(".logs > li")
        for count in (50, 100, 120):
            expect(rows).to_have_count(count)
            if count < 120:
                page.click("nav [rel=next]")
        expect(page.locator("nav [rel=next]")).to_have_count(0)


def test_a_part_that_cannot_be_refreshed_says_so(browser: Browser, address: str) -> None:
    with signed_in(browser, address) as (page, _):
        page.goto(address)
        page.route("**/*", lambda route: route.abort())
        expect(page.locator("#open-alerts.stale")).to_have_count(1, timeout=30_000)
        assert "no connection to this server" in str(page.locator("#open-alerts").get_attribute("data-stale"))


def test_open_alerts_redden_the_title_and_the_icon(browser: Browser, address: str) -> None:
    with signed_in(browser, address) as (page, _):
        assert page.title().startswith("(1) ")
        with httpx.Client(base_url=address, headers={"X-API-Key": API_KEY}) as api:
            alert = api.get("/api/alerts?status=firing").json()["items"][0]["id"]
            api.post(f"/api/alerts/{alert}/resolve", json={}).raise_for_status()
        expect(page).to_have_title("Overview · GiftPulse", timeout=30_000)
        expect(page.locator("nav[aria-label=Main]")).to_have_count(1)
        assert "firing" not in str(page.locator("link[rel=icon]").get_attribute("href"))


def test_all_of_it_works_without_script(browser: Browser, address: str) -> None:
    with signed_in(browser, address, 360, java_script_enabled=False) as (page, _):
        page.goto(f"{address}/logs")
        page.click("summary.filter")
        page.fill("#add-error_code", "30003")
        page.click(".add-filter button")
        assert page.url == f"{address}/logs?error_code=30003"
        page.goto(f"{address}/rules/week")
        page.click("text=Count all rules")
        assert page.locator(".strip .on").count() == 1
        page.goto(f"{address}/rules/packs/spend")
        page.click("main button.primary")
        assert "installed" in page.locator("[role=status]").inner_text()
        page.goto(f"{address}/phone")
        page.click("main button.primary")
        assert page.locator("svg.qr").count() == 1
