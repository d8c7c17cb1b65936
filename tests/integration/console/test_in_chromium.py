"""The console as a browser shows it: for everybody, on a phone and at a desk, in both themes, with script and without.

One browser and one filled system serve all tests that only look; a test that changes something has a system of its own.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from tests.conftest import API_KEY, ENVIRONMENT, forget
from tests.integration.api.conftest import RULE, make_app
from tests.integration.api.serving import serving
from tests.integration.console.filled import Filled
from tests.integration.console.test_alert_pages import make_alert
from tests.kits import screenshots
from tests.kits.browsers import signed_in
from tests.kits.databases import Databases

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLORS = ("color-contrast", "link-in-text-block")
"""The rules whose verdict the other theme can change."""
OF_COLORS = {"runOnly": {"type": "rule", "values": COLORS}}
OF_SHAPES = RULES | {"rules": {name: {"enabled": False} for name in COLORS}}
FOUND = {"resultTypes": ["violations"]}
WIDTHS = (360, 768, 1280)
ENLARGED = 180
"""As wide in letters as a phone of 360 pixels whose text is set to twice its size."""
NARROW, WIDE = WIDTHS[0], WIDTHS[-1]
Exam = tuple[screenshots.Scheme, int, dict[str, Any]]
EXAMS: tuple[Exam, ...] = (("light", NARROW, RULES), ("light", WIDE, OF_SHAPES), ("dark", WIDE, OF_COLORS))
"""Every rule looks at every page, in both widths where that can matter: they change the colors of the frame alone."""
EXAMS_OF_FRAME: tuple[Exam, ...] = (*EXAMS, ("light", WIDE, OF_COLORS), ("dark", NARROW, OF_COLORS))
REPEATED = (
    "document.querySelectorAll(':is(main li, main tr, main option):nth-child(n+13)').forEach(each => each.remove())"
)
"""Drops all but the first of a list's entries: the others are made as these are, and looking at them takes a minute."""
PARTS = 4
"""The pages are looked at by so many tests, which several workers run."""
MORE = ("/logs?status=NO!", "/logs?status=failed,undelivered&since=7d", "/actions/new?type=webhook")
"""Pages that look otherwise by what their address asks for."""
REFUSED = "document.addEventListener('securitypolicyviolation', e => console.error('policy: ' + e.violatedDirective))"
SETTINGS = {
    "TWILIO_API_BASE_URL": "http://127.0.0.1:9",
    "OIDC_ISSUER": "https://login.example.com",
    "OIDC_CLIENT_ID": "giftpulse",
    "OIDC_CLIENT_SECRET": "secret",
    "OIDC_WRITE_GROUPS": "on-call",
}
"""As if the simulator was watched, and people signed in with a provider: such a console has every page and part."""
LONG = 60_000
"""Milliseconds in which a part refreshes itself at the latest."""


class System(NamedTuple):
    """A console that is served."""

    app: FastAPI
    url: str
    database: str
    addresses: tuple[str, ...]
    """The address of every page; none where nothing was filled in."""


def _use(patch: pytest.MonkeyPatch, database: str) -> None:
    for name, value in {**ENVIRONMENT, **SETTINGS, "DATABASE_URL": database}.items():
        patch.setenv(name, value)
    forget()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with screenshots.open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def filled(databases: Databases) -> Iterator[System]:
    with databases.lend() as database, pytest.MonkeyPatch.context() as patch:
        _use(patch, database)
        app = make_app()
        with serving(app) as url:
            addresses = (*Filled(url).addresses(app), *MORE)
            yield System(app, url, database, addresses)
        forget()


@pytest.fixture
def shown(filled: System, environment: pytest.MonkeyPatch) -> System:
    """The filled system, which no test changes."""
    _use(environment, filled.database)
    return filled


@pytest.fixture
def own(database: str, environment: pytest.MonkeyPatch) -> Iterator[System]:
    """An empty system of one test."""
    _use(environment, database)
    app = make_app()
    with serving(app) as url:
        yield System(app, url, database, ())


def _settled(page: Page, address: str) -> None:
    """Open a page and wait until nothing on it is counted anew: what is, is dimmed."""
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == 200, address
    expect(page.locator("[aria-busy=true]")).to_have_count(0, timeout=LONG)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_page_keeps_anybody_out(shown: System, browser: Browser, part: int) -> None:
    axe, found = Axe(), []
    # axe is put into the page by evaluating it, which the console's policy forbids.
    with signed_in(browser, shown.url, bypass_csp=True) as (page, _):
        for address in shown.addresses[part::PARTS]:
            _settled(page, shown.url + address)
            page.evaluate(REPEATED)
            for theme, width, rules in EXAMS_OF_FRAME if address == "/" else EXAMS:
                page.emulate_media(color_scheme=theme)
                page.set_viewport_size({"width": width, "height": 800})
                for violation in axe.run(page, options=rules | FOUND).response["violations"]:
                    elements = [node["target"] for node in violation["nodes"]][:3]
                    found.append(f"{address}, {theme}, at {width}: {violation['id']} at {elements}")
    assert not found, "\n".join(found)


def test_no_page_breaks_its_policy_or_is_wider_than_a_phone(shown: System, browser: Browser) -> None:
    found: list[str] = []
    with signed_in(browser, shown.url, 360) as (page, errors):
        page.add_init_script(REFUSED)
        for address in shown.addresses:
            _settled(page, shown.url + address)
            wide = screenshots.overflowing_widths(page, [ENLARGED, *WIDTHS])
            found += [f"{address} is too wide at {each}" for each in wide]
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                found += [f"{address} at {width} holds {each}" for each in screenshots.sticking_out(page)]
                found += [f"{address} at {width} breaks {each}" for each in screenshots.broken_words(page)]
        found += errors
    assert not found, "\n".join(found)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_without_a_menu_stands_in_the_middle(shown: System, browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(f"{shown.url}/sign-in")
    box = page.locator("main form").bounding_box()
    assert box is not None
    assert box["width"] >= 320
    assert box["x"] + box["width"] / 2 == pytest.approx(width / 2, abs=1)
    page.close()


def test_the_strips_of_a_week_come_by_themselves_and_the_totals_last(shown: System, browser: Browser) -> None:
    with signed_in(browser, shown.url) as (page, _):
        page.goto(f"{shown.url}/rules/week")
        expect(page.locator(".strip .on")).to_have_count(1)
        expect(page.locator(".facts")).to_contain_text("1 alert")
        expect(page.locator(".asks")).to_have_count(0)


def test_rules_of_a_pack_are_ticked_once_they_are_counted(shown: System, browser: Browser) -> None:
    with signed_in(browser, shown.url) as (page, _):
        page.goto(f"{shown.url}/rules/packs/carrier_filtering")
        rules = page.locator("[data-tick]").count()
        expect(page.locator("[data-tick]:checked")).to_have_count(rules, timeout=LONG)


def test_enter_in_the_menu_of_a_silence_silences_nothing(shown: System, browser: Browser) -> None:
    alert, *_ = [address for address in shown.addresses if re.fullmatch("/alerts/[^/]+", address)]
    posted = []
    with signed_in(browser, shown.url) as (page, _):
        page.goto(shown.url + alert)
        page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
        page.click("summary[data-key=s]")
        page.fill("#reason", "known")
        page.press("#reason", "Enter")
        assert page.evaluate("fetch('/more').then(answer => answer.status)") == 200
    assert posted == []


@pytest.mark.parametrize("scripted", [True, False])
def test_the_menu_of_a_silence_shows_what_the_chosen_one_would_hold(
    own: System, browser: Browser, *, scripted: bool
) -> None:
    made = httpx.post(f"{own.url}/api/rules", json=RULE, headers={"X-API-Key": API_KEY})
    rule = UUID(made.json()["id"])
    alert = make_alert(rule_id=rule)
    make_alert(rule_id=rule, summary="The same group, a sender more", group={"to_country": "GB", "from": "+1"})
    make_alert(rule_id=rule, summary="Another group", group={"to_country": "US"})
    with signed_in(browser, own.url, java_script_enabled=scripted) as (page, _):
        page.goto(f"{own.url}/alerts/{alert}")
        page.click("summary[data-key=s]")
        menu = page.locator("form[action$=silence]")
        expect(menu.get_by_role("status")).to_have_text(
            re.compile("^It silences this alert and 1 other:"), use_inner_text=True
        )
        expect(menu.get_by_role("link", name="Another group")).to_be_hidden()
        menu.get_by_role("checkbox").check()
        expect(menu.get_by_role("status")).to_have_text(
            re.compile("it silences this alert and 2 others:"), use_inner_text=True
        )
        expect(menu.get_by_role("link", name="Another group")).to_be_visible()
        expect(menu.get_by_role("link", name="The same group")).to_have_count(1)


def test_older_logs_are_appended(shown: System, browser: Browser) -> None:
    with signed_in(browser, shown.url) as (page, _):
        page.goto(f"{shown.url}/logs?log_type=message")
        rows = page.locator(".logs > li")
        for count in (50, 100, 120):
            expect(rows).to_have_count(count)
            if count < 120:
                page.click("nav [rel=next]")
        expect(page.locator("nav [rel=next]")).to_have_count(0)


def test_the_table_behind_a_plot_is_made_when_it_is_opened(shown: System, browser: Browser) -> None:
    with signed_in(browser, shown.url, 1280) as (page, _):
        page.goto(f"{shown.url}/?span=1h")
        details = page.locator("details.behind").first
        expect(details.locator("tr")).to_have_count(0)
        details.locator("summary").click()
        expect(details.locator("thead th")).to_have_text(["Time", "delivered or on their way", "failed"])
        hits = page.locator("figure").first.locator(".hit").count()
        assert hits >= 60
        expect(details.locator("tbody tr")).to_have_count(hits)
        first = details.locator("tbody tr").first
        expect(first.locator("a")).to_have_attribute("href", re.compile(r"/logs\?log_type=message&since="))
        expect(first.locator("td").nth(1)).to_have_text("0")


def test_a_plot_without_script_links_to_its_table(shown: System, browser: Browser) -> None:
    with signed_in(browser, shown.url, 360, java_script_enabled=False) as (page, _):
        page.goto(f"{shown.url}/?span=1h")
        page.locator("details.behind summary").first.click()
        page.get_by_role("link", name="Show the page with its tables").first.click()
        hits = page.locator("figure").first.locator(".hit").count()
        expect(page.locator("details.behind").first.locator("tbody tr")).to_have_count(hits)


def test_a_part_that_cannot_be_refreshed_says_so(shown: System, browser: Browser) -> None:
    with signed_in(browser, shown.url) as (page, _):
        page.route("**/*", lambda route: route.abort())
        expect(page.locator("#open-alerts.stale")).to_have_count(1, timeout=LONG)
        assert "no connection to this server" in str(page.locator("#open-alerts").get_attribute("data-stale"))


def test_what_was_typed_stays_when_the_session_ends(own: System, browser: Browser) -> None:
    with signed_in(browser, own.url, 1280) as (page, _):
        page.goto(f"{own.url}/silences")
        page.locator("summary", has_text="New silence").click()
        page.locator("#rule_id").select_option("every")
        page.locator("#reason").fill("typed before")
        other = page.context.new_page()
        other.goto(own.url)
        other.get_by_role("button", name="Sign out").click()
        expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
        other.close()
        expect(page.get_by_role("alert")).to_contain_text("You are signed out", timeout=LONG)
        expect(page.locator("#reason")).to_have_value("typed before")
        page.get_by_role("button", name="Silence", exact=True).click()
        expect(page.get_by_role("heading", name="Sign in to send what you typed")).to_be_visible()


@pytest.mark.parametrize("width", [360, 390, 800, 1280])
def test_the_menus_of_an_alert_open_inside_the_window(shown: System, browser: Browser, width: int) -> None:
    alert = next(address for address in shown.addresses if address.startswith("/alerts/"))
    with signed_in(browser, shown.url, width) as (page, _):
        page.goto(shown.url + alert)
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


@pytest.mark.parametrize("width", WIDTHS)
def test_the_last_key_of_the_list_can_be_revoked(own: System, browser: Browser, width: int) -> None:
    with signed_in(browser, own.url, width) as (page, _):
        page.goto(f"{own.url}/keys")
        page.get_by_text("New key").click()
        page.get_by_label("What it is for").fill("dashboard")
        page.get_by_role("button", name="Create key").click()
        page.get_by_text("Revoke", exact=True).click()
        page.get_by_role("button", name="Revoke it").click()
        expect(page.get_by_role("status")).to_contain_text("dashboard is revoked")


def test_the_time_of_a_report_is_seen_whole_on_a_phone(shown: System, browser: Browser) -> None:
    with signed_in(browser, shown.url, 360, locale="en-US") as (page, _):
        page.goto(f"{shown.url}/actions/new")
        page.get_by_text("When", exact=True).click()
        field = page.locator("#report_at")
        given = field.evaluate("field => field.offsetWidth")
        needed = field.evaluate("field => { field.style.width = 'max-content'; return field.offsetWidth; }")
        assert given >= needed


def test_each_of_many_open_alerts_takes_two_lines_on_a_phone(own: System, browser: Browser) -> None:
    for number in range(5):
        make_alert(group_key=f'["{number}"]', summary="143 messages with error 30007 (Message filtered) to GB " * 3)
    with signed_in(browser, own.url, 360) as (page, _):
        page.goto(f"{own.url}/alerts")
        for name in (".what", ".act"):
            assert page.locator(f".alerts {name}").count() == 5
        text = page.locator(".alerts .what").first
        assert text.evaluate("text => text.offsetHeight < 2 * parseFloat(getComputedStyle(text).lineHeight)")
        assert page.locator(".alerts > li").evaluate_all("rows => rows.every(row => row.offsetHeight < 90)")


def test_a_stale_form_is_compared_in_whole_words_on_a_phone(own: System, browser: Browser) -> None:
    headers = {"X-API-Key": API_KEY}
    with httpx.Client(base_url=own.url, headers=headers, trust_env=False) as api:
        rule = api.post("/api/rules", json=RULE).raise_for_status().json()
        with signed_in(browser, own.url, 360) as (page, _):
            page.goto(f"{own.url}/rules/{rule['id']}")
            page.locator("[name=name]").fill("Mine")
            theirs = {"severity": "critical", "filters": {"from": ["+14155550124"]}}
            api.patch(f"/api/rules/{rule['id']}", json=theirs).raise_for_status()
            page.get_by_role("button", name="Save", exact=True).click()
            expect(page.get_by_text("Saved meanwhile: critical")).to_be_visible()
            assert not screenshots.broken_words(page)


def test_an_alert_is_found_and_acknowledged_by_keyboard_alone(own: System, browser: Browser) -> None:
    make_alert()
    with signed_in(browser, own.url) as (page, _):
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


def test_an_alert_reaches_the_title_and_the_icon_and_leaves_them_without_a_reload(
    own: System, browser: Browser
) -> None:
    with signed_in(browser, own.url) as (page, _):
        icon = page.locator("link[rel=icon]").first
        expect(page).to_have_title("Overview · GiftPulse")
        alert_id = make_alert()
        expect(page).to_have_title("(1) Overview · GiftPulse", timeout=LONG)
        expect(icon).to_have_attribute("href", re.compile("firing"))
        expect(page.locator("main").get_by_text("143 messages with error 30007 to GB")).to_be_visible(timeout=LONG)
        resolve = f"{own.url}/api/alerts/{alert_id}/resolve"
        httpx.post(resolve, json={}, headers={"X-API-Key": API_KEY}, trust_env=False).raise_for_status()
        expect(page).to_have_title("Overview · GiftPulse", timeout=LONG)
        expect(icon).not_to_have_attribute("href", re.compile("firing"))
        expect(page.locator("nav[aria-label=Main]")).to_have_count(1)


def test_whoever_types_a_rule_sees_it_as_a_sentence_before_it_is_saved(own: System, browser: Browser) -> None:
    with signed_in(browser, own.url) as (page, _):
        page.goto(f"{own.url}/rules/new")
        page.locator("[name=pattern_value]").first.fill("30007")
        page.locator("[name=name]").fill("Filtered")
        expect(page.locator("form[data-preview]")).to_contain_text("Message filtered", timeout=LONG)
        page.keyboard.press("Control+Enter")
        page.wait_for_url(re.compile("/rules(/[0-9a-f-]{36})?$"))


def test_a_note_that_was_refused_is_kept_and_the_page_continues_refreshing(own: System, browser: Browser) -> None:
    alert = f"{own.url}/alerts/{make_alert()}"
    with signed_in(browser, own.url, 360) as (page, _):
        page.goto(alert)
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
        assert (asked.value.url, answer.status) == (alert, 200)
        page.get_by_role("button", name="End it").click()
        expect(page.locator("form[action$=end]")).to_have_count(0)
        assert page.url == alert


def test_all_of_it_works_without_script(own: System, browser: Browser) -> None:
    Filled(own.url)
    with signed_in(browser, own.url, 360, java_script_enabled=False) as (page, _):
        page.goto(f"{own.url}/logs")
        page.click("summary.filter")
        page.fill("#add-error_code", "30003")
        page.click(".add-filter button")
        assert page.url == f"{own.url}/logs?error_code=30003"
        page.goto(f"{own.url}/rules/week")
        page.click("text=Count all rules")
        assert page.locator(".strip .on").count() == 1
        page.goto(f"{own.url}/rules/packs/spend")
        page.click("main button.primary")
        assert "installed" in page.locator("[role=status]").inner_text()
        page.goto(f"{own.url}/phone")
        page.click("main button.primary")
        assert page.locator("svg.qr").count() == 1
