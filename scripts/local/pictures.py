"""Takes the pictures of the documentation from a running system with an incident, so that they show what there is."""

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from app.environment import LOCAL_FOLDER, LOCAL_SETTINGS, local_settings

FOLDER = Path("docs/pictures")
INCIDENT, FILTERED, LOGS = "carrier_filtering", 30007, 25
RULE = {
    "name": "Messages are filtered",
    "severity": "critical",
    "log_type": "message",
    "pattern_type": "error_code",
    "pattern_value": str(FILTERED),
    "condition": {"type": "threshold", "count": 10, "window_minutes": 60},
}
"""The pictures show what it does: its plot has a limit, and its preview other limits."""
OTHERS = 2
"""How many more alerts the overview shows."""
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
        rule_id = _find_rule(api)
        if not given.no_incident:
            httpx.post(f"{settings['TWILIO_API_BASE_URL']}/_simulator/scenarios/{INCIDENT}", trust_env=False)
        alert_id = _await_alert(api, rule_id)
        if not given.no_incident:
            _resolve_others(api, alert_id)
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


def _find_rule(api: httpx.Client) -> str:
    """Return the id of the rule that the pictures show; make it if it is missing."""
    rules = api.get("/api/rules").raise_for_status().json()["items"]
    found = next((rule for rule in rules if rule["name"] == RULE["name"]), None)
    return str((found or api.post("/api/rules", json=RULE).raise_for_status().json())["id"])


def _firing(api: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/api/alerts", params={"status": "firing"}).raise_for_status().json()["items"]
    return found


def _await_alert(api: httpx.Client, rule_id: str) -> str:
    """Wait for the rule's alert to count enough logs to compare; return its id."""
    ends_at = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < ends_at:
        for alert in _firing(api):
            if alert["rule_id"] == rule_id and alert["occurrences"] >= LOGS:
                return str(alert["id"])
        time.sleep(2)
    raise SystemExit(f"no alert of {LOGS} messages with error {FILTERED} fired within {WAIT_SECONDS} seconds")


def _resolve_others(api: httpx.Client, alert_id: str) -> None:
    """Resolve all alerts but this one and the largest of other causes: ordinary traffic opens many."""
    others = sorted((each for each in _firing(api) if each["id"] != alert_id), key=lambda each: -each["occurrences"])
    kept = [each["id"] for each in others if (each["error"] or {}).get("code") != FILTERED][:OTHERS]
    for each in others:
        if each["id"] not in kept:
            api.post(f"/api/alerts/{each['id']}/resolve", json={}).raise_for_status()


def _take(browser: Browser, url: str, key: str, picture: Picture, into: Path) -> None:
    size = PHONE if picture.phone else DESK
    context = browser.new_context(base_url=url, viewport=size, color_scheme=picture.theme, timezone_id="Europe/Berlin")  # type: ignore[arg-type]
    page = context.new_page()
    _sign_in(page, key)
    if (hide := page.locator("form[action='/set-up/hide'] button")).count():
        hide.click()
        page.locator("[role=status]").wait_for()
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
