"""How mails and the inbox look, in narrow and wide windows, in light and dark, whatever texts they have to show."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from app.actions import mail_text
from app.actions.base import Notification
from scripts.inbox.app import templates
from scripts.inbox.store import Mail, Message, Webhook
from tests.kits import notifications, screenshots

MAILS = [*notifications.kinds(), *notifications.hostile()]
NAMES = [f"{number}-{told.type.removeprefix('alert.')}" for number, told in enumerate(MAILS)]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with screenshots.open_page() as opened:
        yield opened


def html(notification: Notification) -> str:
    return mail_text.write(mail_text.BUILT_IN, notification)[0]["html"]


@pytest.mark.parametrize("notification", MAILS, ids=NAMES)
def test_a_mail_fits_every_window_and_reads_well_by_day_and_by_night(page: Page, notification: Notification) -> None:
    page.set_content(html(notification))
    assert not screenshots.overflowing_widths(page)
    assert not screenshots.low_contrast_texts(page, "light")
    assert not screenshots.low_contrast_texts(page, "dark")


@pytest.mark.parametrize("notification", MAILS, ids=NAMES)
def test_a_mail_fits_without_its_stylesheet_which_some_programs_drop(page: Page, notification: Notification) -> None:
    page.set_content(re.sub(r"<style>.*?</style>", "", html(notification), flags=re.DOTALL))
    assert not screenshots.overflowing_widths(page)
    assert not screenshots.low_contrast_texts(page, "light")


def test_a_mail_asks_nothing_from_elsewhere_and_runs_nothing(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for notification in notifications.hostile():
        page.set_content(html(notification))
        assert page.evaluate("document.querySelectorAll('script, img, iframe, link').length") == 0
    assert asked == []


def test_dark_is_dark_and_light_is_light(page: Page) -> None:
    page.set_content(html(notifications.FIRING))
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(29, 34, 41)"]


def test_the_inbox_fits_every_window_and_reads_well_by_day_and_by_night(page: Page) -> None:
    [notification, *_] = notifications.hostile()
    parts, _ = mail_text.write(mail_text.BUILT_IN, notification)
    at, long = "2026-11-24T03:00:00Z", notifications.UNBROKEN
    headers = [("X-Long", long), (long[:200], "x")]
    caught: list[Message] = [
        Mail(1, at, f"{long}@example.com", headers, long, long, parts["text"], parts["html"]),
        Webhook(2, at, "POST", f"/hooks/{long}", headers, long, f"not valid: {long}", "x", long),
        Webhook(3, at, "POST", "/hooks/x", [], "{}", "valid", "x", "x"),
    ]
    shown = [templates.get_template(f"{each.kind}.html").render(message=each) for each in caught]
    for html_of_page in [templates.get_template("index.html").render(messages=caught, smtp_port=1), *shown]:
        page.set_content(html_of_page)
        assert not screenshots.overflowing_widths(page)
        assert not screenshots.low_contrast_texts(page, "light")
        assert not screenshots.low_contrast_texts(page, "dark")


def test_the_links_of_a_mail_in_the_inbox_lead_out_of_it(page: Page) -> None:
    parts, _ = mail_text.write(mail_text.BUILT_IN, notifications.FIRING)
    caught = Mail(1, "2026-11-24T03:00:00Z", "ops@example.com", [], "s", "g@example.com", "t", parts["html"])
    page.set_content(templates.get_template("mail.html").render(message=caught))
    link = page.frame_locator("iframe").get_by_role("link", name="Open and acknowledge")
    address = str(link.get_attribute("href"))
    page.context.route(address, lambda route: route.fulfill(body="the alert"))
    with page.expect_popup() as popup:
        link.click()
    popup.value.wait_for_url(address)
    popup.value.close()
