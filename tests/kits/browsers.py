"""A browser that is signed in to the console, and what it complains of."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page

from tests.conftest import API_KEY


@contextmanager
def signed_in(browser: Browser, address: str, width: int = 1280, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open a page of somebody who is signed in.

    Returns: the page, and the errors that its console has shown so far.
    """
    context = browser.new_context(viewport={"width": width, "height": 800}, timezone_id="Europe/Berlin", **options)
    context.set_default_timeout(60_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}/sign-in")
    page.fill("[name=key]", API_KEY)
    page.fill("[name=name]", "Maria")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{address}/")
    yield page, errors
    context.close()
