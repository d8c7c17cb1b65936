"""Every page of a filled system as a browser shows it: for everybody, on a phone and at a desk, in both themes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from tests.conftest import API_KEY, forget
from tests.integration.api.conftest import make_app
from tests.integration.api.serving import serving
from tests.integration.console.filled import Filled
from tests.integration.console.test_alert_pages import make_alert
from tests.kits import screenshots

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
OPTIONS = RULES | {"resultTypes": ["violations"]}
WIDTHS = (360, 768, 1280)
MORE = ("/logs?status=NO!", "/logs?status=failed,undelivered&since=7d", "/actions/new?type=webhook")
"""Pages that look otherwise by what their address asks for."""
REFUSED = "document.addEventListener('securitypolicyviolation', e => console.error('policy: ' + e.violatedDirective))"


@contextmanager
def _signed_in(browser: Browser, url: str, **options: object) -> Iterator[Page]:
    """A page of its own with a session."""
    context = browser.new_context(base_url=url, **options)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto("/sign-in")
    page.fill("input[name=key]", API_KEY)
    page.press("input[name=key]", "Enter")
    page.wait_for_url(url + "/")
    yield page
    context.close()


@pytest.fixture
def app(database: str, environment: pytest.MonkeyPatch) -> FastAPI:
    """The app as it runs in development, where it has a page of all parts."""
    environment.setenv("TWILIO_API_BASE_URL", "http://127.0.0.1:9")
    forget()
    return make_app()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_keeps_anybody_out(app: FastAPI, theme: screenshots.Scheme) -> None:
    found: list[str] = []
    with serving(app) as url, screenshots.open_browser() as browser:
        filled = Filled(url)
        # axe is put into the page by evaluating it, which the console's policy forbids.
        with _signed_in(browser, url, color_scheme=theme, bypass_csp=True) as page:
            for address in (*filled.addresses(app), *MORE):
                page.goto(address)
                expect(page.locator("[aria-busy=true]")).to_have_count(0)  # what is counted anew is dimmed
                for width in (WIDTHS[0], WIDTHS[-1]):
                    page.set_viewport_size({"width": width, "height": 800})
                    for violation in Axe().run(page, options=OPTIONS).response["violations"]:
                        places = [node["target"] for node in violation["nodes"]][:3]
                        found.append(f"{address} at {width}: {violation['id']} at {places}")
    assert not found, "\n".join(found)


def test_no_page_breaks_its_policy_or_is_wider_than_a_phone(app: FastAPI) -> None:
    found: list[str] = []
    with serving(app) as url, screenshots.open_browser() as browser:
        filled = Filled(url)
        with _signed_in(browser, url, viewport={"width": 360, "height": 740}) as page:
            page.add_init_script(REFUSED)
            page.on("console", lambda said: found.append(f"{page.url}: {said.text}") if said.type == "error" else None)
            page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
            for address in (*filled.addresses(app), *MORE):
                answer = page.goto(address)
                assert answer is not None
                assert answer.status == 200, address
                found += [f"{address} is too wide at {width}" for width in screenshots.overflowing_widths(page, WIDTHS)]
    assert not found, "\n".join(found)


def test_an_alert_is_found_and_acknowledged_by_keyboard_alone(app: FastAPI) -> None:
    with serving(app) as url, screenshots.open_browser() as browser:
        Filled(url)
        with _signed_in(browser, url) as page:
            page.keyboard.press("g")
            page.keyboard.press("a")
            page.wait_for_url("**/alerts")
            page.keyboard.press("j")
            page.keyboard.press("Enter")
            page.wait_for_url("**/alerts/*")
            page.keyboard.press("?")
            expect(page.get_by_role("dialog")).to_be_visible()
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_be_hidden()
            stops = []
            for _ in range(20):
                page.keyboard.press("Tab")
                stops.append(page.locator(":focus").inner_text().strip())
            assert stops[0] == "Skip to the content"
            assert "Acknowledge" in stops
            page.locator("textarea[name=note]").focus()
            page.keyboard.type("a jam at the carrier")
            expect(page.locator("textarea[name=note]")).to_have_value("a jam at the carrier")
            page.locator("h1").click()
            page.keyboard.press("a")
            expect(page.get_by_text("You acknowledged this alert.")).to_be_visible()


def test_an_open_alert_reaches_the_title_and_the_icon_without_a_reload(app: FastAPI) -> None:
    with serving(app) as url, screenshots.open_browser() as browser, _signed_in(browser, url) as page:
        expect(page).to_have_title("Overview · GiftPulse")
        make_alert()
        expect(page).to_have_title("(1) Overview · GiftPulse", timeout=60_000)
        expect(page.locator("link[rel=icon]").first).to_have_attribute("href", re.compile("firing"))
        expect(page.locator("main").get_by_text("143 messages with error 30007 to GB")).to_be_visible(timeout=60_000)


def test_whoever_types_a_rule_sees_it_as_a_sentence_before_it_is_saved(app: FastAPI) -> None:
    with serving(app) as url, screenshots.open_browser() as browser, _signed_in(browser, url) as page:
        page.goto("/rules/new")
        page.locator("[name=pattern_value]").first.fill("30007")
        page.locator("[name=name]").fill("Filtered")
        expect(page.locator("form[data-preview]")).to_contain_text("Message filtered", timeout=60_000)
        page.keyboard.press("Control+Enter")
        page.wait_for_url(re.compile("/rules(/[0-9a-f-]{36})?$"))


@pytest.mark.parametrize("width", [360, 390, 800, 1280])
def test_what_a_menu_of_an_alert_opens_lies_inside_the_window(app: FastAPI, width: int) -> None:
    alert_id = make_alert()
    size = {"width": width, "height": 800}
    with serving(app) as url, screenshots.open_browser() as browser, _signed_in(browser, url, viewport=size) as page:
        page.goto(f"/alerts/{alert_id}")
        for button in page.locator(".bar.fixed > * > .button").all():
            box = button.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= width, button.inner_text()
        for name in ("acknowledge", "silence"):
            menu = page.locator("details.menu", has=page.locator(f"form[action$={name}]"))
            menu.locator("summary").click()
            box = menu.locator(".pop").bounding_box()
            assert box is not None, name
            assert box["x"] >= 0, (name, box)
            assert box["x"] + box["width"] <= width, (name, box)
            assert box["y"] >= 0, (name, box)
            assert box["y"] + box["height"] <= 800, (name, box)
            page.keyboard.press("Escape")
        assert not screenshots.overflowing_widths(page, (width,))


def test_the_time_of_a_report_is_seen_whole_on_a_phone(app: FastAPI) -> None:
    size = {"width": 360, "height": 740}
    with (
        serving(app) as url,
        screenshots.open_browser() as browser,
        _signed_in(browser, url, viewport=size, locale="en-US") as page,
    ):
        page.goto("/actions/new")
        page.get_by_text("When", exact=True).click()
        field = page.locator("#report_at")
        given = field.evaluate("field => field.offsetWidth")
        needed = field.evaluate("field => { field.style.width = 'max-content'; return field.offsetWidth; }")
        assert given >= needed


def test_a_note_that_was_refused_is_kept_and_the_page_goes_on_refreshing(app: FastAPI) -> None:
    alert_id = make_alert()
    size = {"width": 360, "height": 740}
    with serving(app) as url, screenshots.open_browser() as browser, _signed_in(browser, url, viewport=size) as page:
        page.goto(f"/alerts/{alert_id}")
        page.locator("details.menu", has=page.locator("form[action$=silence]")).locator("summary").click()
        page.get_by_role("button", name="8 hours").last.click()
        expect(page.locator("form[action$=end]")).to_contain_text("Silenced until")
        assert not screenshots.overflowing_widths(page, WIDTHS)
        page.locator("textarea[name=note]").evaluate("field => field.removeAttribute('maxlength')")
        page.locator("textarea[name=note]").fill("x" * 10_001)
        with page.expect_request(lambda asked: asked.headers.get("x-fragment") == "trail") as asked:
            page.get_by_role("button", name="Add note").click()
            expect(page.locator("textarea[name=note]")).to_have_value("x" * 10_001)
            expect(page.locator("textarea[name=note]")).to_be_focused()
        answer = asked.value.response()
        assert answer is not None
        assert (asked.value.url, answer.status) == (f"{url}/alerts/{alert_id}", 200)
        page.get_by_role("button", name="End it").click()
        expect(page.locator("form[action$=end]")).to_have_count(0)
        assert page.url == f"{url}/alerts/{alert_id}"
