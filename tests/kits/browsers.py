"""A browser that is signed in to the console, and what it complains of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import API_KEY

AXE_OPTIONS = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium; without it the test is skipped."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium here to look at pages with: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def signed_in(browser: Browser, address: str, width: int = 1280, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open a page of somebody who is signed in.

    Returns: the page, and the errors that its console has shown so far.
    """
    context = browser.new_context(viewport={"width": width, "height": 800}, timezone_id="Europe/Berlin", **options)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}/sign-in")
    page.fill("[name=key]", API_KEY)
    page.fill("[name=name]", "Maria")
    page.click("main button.primary")
    page.wait_for_url(f"{address}/")
    yield page, errors
    context.close()


def axe_violations(page: Page) -> list[str]:
    """Check a page with axe. The page's context must bypass its policy."""
    found = Axe().run(page, options=AXE_OPTIONS).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found]
