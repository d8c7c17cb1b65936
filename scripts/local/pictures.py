"""Takes the pictures of the documentation from a running system with an incident, so that they show what there is."""

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from app.environment import LOCAL_FOLDER, LOCAL_SETTINGS, local_settings

FOLDER = Path("docs/pictures")
INCIDENT, FILTERED, LOGS = "carrier_filtering", 30007, 25
WAIT_SECONDS = 300
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


class Picture(NamedTuple):
    """One picture: its file, its page, and how it is looked at."""

    name: str
    address: str
    theme: str = "light"
    phone: bool = False


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/pictures", description=__doc__)
    parser.add_argument("--into", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    parser.add_argument("--no-incident", action="store_true", help="take them of what there is")
    given = parser.parse_args()
    settings = local_settings(LOCAL_FOLDER / LOCAL_SETTINGS)
    chromium = shutil.which("chromium")
    if not settings or chromium is None:
        print("scripts/pictures needs a running scripts/start and Chromium", file=sys.stderr)
        return 2
    url = settings["PUBLIC_BASE_URL"]
    headers = {"X-API-Key": settings["API_KEY"]}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as api:
        if not given.no_incident:
            httpx.post(f"{settings['TWILIO_API_BASE_URL']}/_simulator/scenarios/{INCIDENT}", trust_env=False)
        alert_id = _await_alert(api)
        rule_id = api.get(f"/api/alerts/{alert_id}").raise_for_status().json()["rule_id"]
    given.into.mkdir(parents=True, exist_ok=True)
    pictures = (
        Picture("overview", "/"),
        Picture("alert-on-a-phone", f"/alerts/{alert_id}", theme="dark", phone=True),
        Picture("alert", f"/alerts/{alert_id}"),
        Picture("rule", f"/rules/{rule_id}"),
        Picture("week", "/rules/week?run=all"),
        Picture("logs", "/logs", theme="dark"),
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for picture in pictures:
            _take(browser, url, settings["API_KEY"], picture, given.into)
            print(given.into / f"{picture.name}.png")
        browser.close()
    return 0


def _await_alert(api: httpx.Client) -> str:
    """Wait for the incident's alert to count enough logs to compare; return its id."""
    ends_at = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < ends_at:
        alerts = api.get("/api/alerts", params={"status": "firing"}).raise_for_status().json()["items"]
        for alert in alerts:
            if (
                alert["rule_id"]
                and alert["error"]
                and alert["error"]["code"] == FILTERED
                and alert["occurrences"] >= LOGS
            ):
                return str(alert["id"])
        time.sleep(2)
    raise SystemExit(f"no alert of {LOGS} messages with error {FILTERED} fired within {WAIT_SECONDS} seconds")


def _take(browser: Browser, url: str, key: str, picture: Picture, into: Path) -> None:
    size = PHONE if picture.phone else DESK
    context = browser.new_context(base_url=url, viewport=size, color_scheme=picture.theme, timezone_id="Europe/Berlin")  # type: ignore[arg-type]
    page = context.new_page()
    _sign_in(page, key)
    page.goto(picture.address)
    page.locator("[aria-busy=true]").first.wait_for(state="detached", timeout=60_000)
    page.screenshot(path=into / f"{picture.name}.png", animations="disabled")
    context.close()


def _sign_in(page: Page, key: str) -> None:
    page.goto("/sign-in")
    page.fill("input[name=key]", key)
    page.fill("input[name=name]", "Maria")
    page.press("input[name=key]", "Enter")
    page.wait_for_url("**/")


if __name__ == "__main__":
    sys.exit(main())
