"""Measures the console's pages, and the API calls that find out why, with a million logs of the last month.

    python -m benchmarks.console

The app runs in this process and gets requests as from a browser. The first request is cold: nothing is kept from
another one. The others are warm, as when several people look at the same time.
"""

import argparse
import asyncio
import gzip
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text

from app.database import session_scope
from app.utils.clock import rfc3339, utc_now
from benchmarks.api import filling
from benchmarks.ingest.world import SETTINGS
from tests.integration.console.conftest import Browser
from tests.integration.console.test_alert_pages import make_alert

RULE: dict[str, Any] = {
    "name": "Unreachable handsets",
    "log_type": "message",
    "pattern_type": "error_code",
    "pattern_value": "30003",
    "condition": {"type": "threshold", "count": 10, "window_minutes": 60},
}
STATIC = Path("app/api/console/static")
_MATCHES = """
INSERT INTO matches (rule_id, log_id, epoch, occurred_at, changed_at, sid, account_id, error_code, group_key,
                     alert_id, held)
SELECT :rule, id, 1, occurred_at, changed_at, sid, account_id, error_code, '[]', :alert, false
FROM logs WHERE error_code = 30003 AND occurred_at >= :since
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--logs", type=int, default=1_000_000, help="default: 1000000")
    parser.add_argument("--days", type=int, default=30, help="how far back they reach; default: 30")
    parser.add_argument("--runs", type=int, default=50, help="warm requests; default: 50")
    parser.add_argument("--folder", type=Path, help="keep the database here, and use what is there")
    parser.add_argument("--only", default="", help="ask only for addresses that hold this")
    given = parser.parse_args()
    for asset in sorted(STATIC.glob("console.*")):
        raw = asset.read_bytes()
        print(f"{asset.name}: {len(raw) / 1000:.1f} kB, gzip {len(gzip.compress(raw)) / 1000:.1f} kB")
    now = utc_now().replace(minute=30, second=0, microsecond=0)
    with filling.filled_database(given.folder, given.logs, given.days, now):
        asyncio.run(_measure(now, given.runs, given.only))


async def _measure(now: datetime, runs: int, only: str) -> None:
    from app.api.main import app  # reads the settings at its import

    async with Browser(app) as browser:
        browser.headers["Accept-Encoding"] = "gzip"
        await browser.sign_in(SETTINGS["API_KEY"])
        api = httpx.AsyncClient(
            transport=browser._transport, base_url=browser.base_url, headers={"X-API-Key": SETTINGS["API_KEY"]}
        )
        rule = (await api.post("/api/rules", json=RULE)).raise_for_status().json()
        alert_id = _fire(UUID(rule["id"]), now)
        sid = (await api.get("/api/logs", params={"error_code": "30003"})).json()["items"][0]["sid"]
        print(f"{'cold ms':>9} {'p50 ms':>8} {'p95 ms':>8} {'kB gzip':>8}")
        for client, address in _addresses(browser, api, now, rule["id"], alert_id, sid):
            if only in address:
                await _print(client, address, runs)


def _fire(rule_id: UUID, now: datetime) -> UUID:
    """Store an alert of the last hours with its matches."""
    since = now - timedelta(hours=6)
    alert_id = make_alert(rule_id=rule_id, rule_name=RULE["name"], group={}, group_key="[]", started_at=since)
    with session_scope() as session:
        session.execute(text("UPDATE streams SET complete_from = now() - interval '30 days', complete_until = now()"))
        session.execute(text(_MATCHES), {"rule": rule_id, "alert": alert_id, "since": since})
    return alert_id


def _addresses(
    browser: Browser, api: httpx.AsyncClient, now: datetime, rule_id: str, alert_id: UUID, sid: str
) -> Iterator[tuple[httpx.AsyncClient, str]]:
    pages = ["/", "/?span=1h", "/?span=7d", "/?span=30d", "/alerts", f"/alerts/{alert_id}", "/logs", f"/logs/{sid}"]
    pages += ["/logs?limit=100", "/logs?error_code=30003", "/rules", "/rules/new", f"/rules/{rule_id}", "/rules/packs"]
    pages += ["/rules/week", "/actions", "/deliveries", "/accounts", f"/accounts/{filling.ACCOUNTS[0]}", "/silences"]
    pages += ["/keys", "/audit", "/error-codes", "/error-codes/30003", "/settings", "/health", "/delivery", "/fraud"]
    pages += ["/report"]
    yield from ((browser, page) for page in pages)
    week = f"since={rfc3339(now - timedelta(days=7))}&until={rfc3339(now)}"
    month = f"since={rfc3339(now - timedelta(days=30))}&until={rfc3339(now)}"
    calls = [f"/api/alerts/{alert_id}/common", f"/api/alerts/{alert_id}/series"]
    calls += [f"/api/logs/{sid}/explain?rule_id={rule_id}", f"/api/unwatched?{week}", f"/api/unwatched?{month}"]
    for by in ("to_country", "from", "messaging_service_sid", "error_code"):
        calls += [f"/api/breakdown?by={by}&{week}", f"/api/breakdown?by={by}&{month}"]
    calls += [
        f"/api/accounts/{filling.ACCOUNTS[0]}/coverage?{month}",
        f"/api/report?{week}",
        "/api/fraud",
        f"/api/fraud?{week}",
    ]
    yield from ((api, call) for call in calls)


async def _print(client: httpx.AsyncClient, address: str, runs: int) -> None:
    taken = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        answer = await client.get(address)
        taken.append((time.perf_counter() - began) * 1e3)
        if not answer.is_success:
            print(f"HTTP {answer.status_code}  {address}")
            return
    cuts = statistics.quantiles(taken[1:], n=20)
    size = len(gzip.compress(answer.content)) / 1000
    shown = address.partition("&")[0]
    print(f"{taken[0]:9.1f} {cuts[9]:8.1f} {cuts[18]:8.1f} {size:8.1f}  {shown}", flush=True)


if __name__ == "__main__":
    main()
