"""Measures the API's response times with millions of stored logs, a real PostgreSQL and no other load.

The app runs in this process and gets requests as from a client; results are medians of a few runs.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from app.utils.clock import rfc3339, utc_now
from benchmarks.api import filling
from benchmarks.ingest.world import SETTINGS

ApiRequest = tuple[str, str, dict[str, Any]]
"""The description, the path, and the parameters."""


def main() -> None:
    given = _parser().parse_args()
    now = utc_now().replace(minute=30, second=0, microsecond=0)
    with filling.filled_database(given.folder, given.logs, given.days, now):
        asyncio.run(_ask([each for each in questions(now) if given.only in each[0]], given.runs))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--logs", type=int, default=3_000_000, help="default: 3000000")
    parser.add_argument("--days", type=int, default=90, help="how far back they reach; default: 90")
    parser.add_argument("--runs", type=int, default=5, help="default: 5")
    parser.add_argument("--folder", type=Path, help="keep the database here, and use what is there")
    parser.add_argument("--only", default="", help="ask only questions whose words hold this")
    return parser


def questions(now: datetime) -> list[ApiRequest]:
    """Return the requests to measure."""
    return [*_counts(now), *_causes(now), *_pages(now)]


def _counts(now: datetime) -> Iterator[ApiRequest]:
    month = {"since": rfc3339(now - timedelta(days=30)), "until": rfc3339(now)}
    fields = ("log_type", "status", "error_code", "direction", "from", "to_country", "messaging_service_sid", None)
    for bucket in ("day", "hour"):
        for by in fields:
            asked = month | {"bucket": bucket} | ({"by": by} if by else {})
            yield f"stats: a month by {bucket} and {by or 'nothing'}", "/api/stats", asked
    filters: list[dict[str, str]] = [
        {"log_type": "message"},
        {"account_sid": filling.ACCOUNTS[1]},
        {"status": "failed,undelivered", "to_country": "GB"},
        {"error_code": "30450"},
        {"from": "+14155550007"},
        {"to": "+447000007919"},
        {"q": "zeppelin"},
    ]
    for narrowed in filters:
        named = " ".join(narrowed)
        yield (
            f"stats: a month by day and status, {named}",
            "/api/stats",
            month | narrowed | {"bucket": "day", "by": "status"},
        )
    for bucket in ("day", "hour"):
        yield f"stats: delivery of a month by {bucket}", "/api/stats/delivery", month | {"bucket": bucket}
    country = month | {"bucket": "day", "to_country": "GB"}
    yield "stats: delivery of a month by day to one country", "/api/stats/delivery", country
    yield "stats: 24 hours by hour and status", "/api/stats", {"by": "status"}
    day = {"since": rfc3339(now - timedelta(days=1)), "until": rfc3339(now)}
    yield "stats: a day by minute and status", "/api/stats", day | {"bucket": "minute", "by": "status"}
    whole = {"since": rfc3339(now - timedelta(days=91)), "until": rfc3339(now)}
    yield "stats: 91 days by day and status", "/api/stats", whole | {"bucket": "day", "by": "status"}


def _causes(now: datetime) -> Iterator[ApiRequest]:
    month = {"since": rfc3339(now - timedelta(days=30)), "until": rfc3339(now)}
    for by in ("to_country", "from", "messaging_service_sid", "error_code"):
        yield f"breakdown: a month by {by}", "/api/breakdown", month | {"by": by}
    messages = month | {"by": "from", "log_type": "message", "direction": "outbound-api"}
    yield "breakdown: outbound messages of a month by from", "/api/breakdown", messages
    yield "breakdown: 24 hours by to_country", "/api/breakdown", {"by": "to_country"}
    yield "unwatched codes of a month", "/api/unwatched", month


def _pages(now: datetime) -> Iterator[ApiRequest]:
    old = rfc3339(now - timedelta(days=60))
    asked: list[tuple[str, dict[str, Any]]] = [
        ("the first page", {}),
        ("a frequent status", {"status": "delivered"}),
        ("a status of 5 %", {"status": "undelivered"}),
        ("a rare status", {"status": "canceled"}),
        ("a status that no log has", {"status": "accepted"}),
        ("a rare code", {"error_code": "30450"}),
        ("a code that no log has", {"error_code": "30999"}),
        ("a rare code and a frequent one", {"error_code": "30450,30003"}),
        ("one customer", {"to": "+447000007919"}),
        ("a number that no log has", {"to": "+447999999999"}),
        ("what one customer sent", {"from": "+447000007919"}),
        ("one of the senders", {"from": "+14155550007"}),
        ("one of the senders to one customer", {"from": "+14155550011", "to": "+447000007919"}),
        ("an account of one in ten", {"account_sid": filling.ACCOUNTS[1]}),
        ("a country and a type that never meet", {"to_country": "GB", "log_type": "error"}),
        ("a country that no log has", {"to_country": "JP"}),
        ("a level", {"level": "warning"}),
        ("not final", {"final": "false"}),
        ("a frequent word", {"q": "customer"}),
        ("a rare phrase", {"q": "slow zeppelin"}),
        ("an absent word", {"q": "submarine"}),
        ("an absent phrase of frequent words", {"q": "order customer"}),
        ("a part of numbers", {"q": "7000007919"}),
        ("two letters", {"q": "xy"}),
        ("a rare status, 60 days ago", {"status": "canceled", "until": old}),
    ]
    for words, params in asked:
        yield f"logs: {words}", "/api/logs", params


async def _ask(asked: list[ApiRequest], runs: int) -> None:
    from app.api.main import app

    transport = httpx.ASGITransport(app=app)
    headers = {"X-API-Key": SETTINGS["API_KEY"]}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000", headers=headers) as client:
        for words, address, params in asked:
            taken = []
            for _ in range(runs):
                began = time.perf_counter()
                answer = await client.get(address, params=params)
                taken.append(time.perf_counter() - began)
            items = len(answer.json()["items"]) if answer.is_success else f"HTTP {answer.status_code}"
            print(f"{statistics.median(taken) * 1e3:9.1f} ms {items!s:>6} items  {words}", flush=True)


if __name__ == "__main__":
    main()
