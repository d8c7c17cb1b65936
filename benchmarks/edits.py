"""Measures how long an edit of a rule waits while workers evaluate a backlog without a pause.

    python -m benchmarks.edits

The edits come over HTTP, one after another. Each evaluator is a process with a stream of its own.
"""

import argparse
import multiprocessing
import statistics
import sys
import time
from datetime import timedelta
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Event

import httpx

from app.config import get_settings
from app.database import get_engine
from app.services.evaluation import pipeline
from app.utils.clock import utc_now
from benchmarks.ingest.rules import add_rules
from benchmarks.ingest.world import SETTINGS, World, a_world
from scripts.local import processes
from tests.feeding import Feed, log

PAGE = 1_000
FAILURES = (30003, 30005, 30007, 30008, None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=__doc__)
    parser.add_argument("--edits", type=int, default=100, help="default: 100")
    parser.add_argument("--evaluators", type=int, default=4, help="default: 4")
    parser.add_argument("--rules", type=int, default=1_000, help="default: 1000")
    parser.add_argument("--logs", type=int, default=150_000, help="for each evaluator; default: 150000")
    given = parser.parse_args()
    with a_world(0) as world, world.database("edits"):
        add_rules(given.rules)
        streams = [_fill(number, given.logs) for number in range(given.evaluators)]
        get_engine().dispose()
        context = multiprocessing.get_context("spawn")
        stop, evaluated = context.Event(), context.Array("q", given.evaluators)
        evaluators = [
            context.Process(target=_evaluate, args=(stream_id, stop, evaluated, number))
            for number, stream_id in enumerate(streams)
        ]
        for each in evaluators:
            each.start()
        processes.wait_until(lambda: min(evaluated[:]) > PAGE, "the evaluators are at work")
        try:
            before, began = evaluated[:], time.perf_counter()
            seconds = _edit(world, given.edits)
            elapsed = time.perf_counter() - began
            _print(seconds, [(after - first) / elapsed for first, after in zip(before, evaluated[:], strict=True)])
        finally:
            stop.set()
            for each in evaluators:
                each.join()


def _fill(number: int, count: int) -> int:
    """Store a backlog for an account of its own; return the id of its stream."""
    now = utc_now()
    feed = Feed(now - timedelta(days=2), sid=f"AC{number + 1:032x}")
    for start in range(0, count, PAGE):
        logs = [
            log(
                number * count + each,
                now - timedelta(seconds=each % 3600),
                error_code=FAILURES[each % len(FAILURES)],
                to=f"+4477009{each % 100_000:05}",
            )
            for each in range(start, min(start + PAGE, count))
        ]
        feed.store(logs, now)
    return feed.stream_ids["message"]


def _evaluate(stream_id: int, stop: Event, evaluated: "SynchronizedArray[int]", number: int) -> None:
    """Evaluate a stream until the end; the last edits were not measured under load where its backlog ends before."""
    count = 1
    while count and not stop.is_set():
        count = pipeline.evaluate_batch(stream_id, get_settings(), utc_now(), pipeline._pace.limit)
        evaluated[number] += count
    assert stop.is_set(), "the backlog is too small: give more --logs"


def _edit(world: World, edits: int) -> list[float]:
    """Edit rules through the API; return seconds for each."""
    port = processes.free_port()
    listen = ["app.api.main:app", "--host", processes.LOOPBACK, "--port", str(port), "--log-level", "error"]
    api = world._run("uvicorn", *listen)
    try:
        headers = {"X-API-Key": SETTINGS["API_KEY"]}
        url = f"http://{processes.LOOPBACK}:{port}"
        with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
            processes.wait_until(lambda: _answers(client), "the API answers")
            rule = client.get("/api/rules", params={"limit": 1}).raise_for_status().json()["items"][0]
            seconds = []
            for number in range(edits):
                began = time.perf_counter()
                client.patch(f"/api/rules/{rule['id']}", json={"name": f"edit {number}"}).raise_for_status()
                seconds.append(time.perf_counter() - began)
            return seconds
    finally:
        processes.stop(api)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api/health/live").is_success
    except httpx.TransportError:
        return False


def _print(seconds: list[float], rates: list[float]) -> None:
    cuts = statistics.quantiles(seconds, n=100)
    print(f"{len(seconds)} edits, seconds: p50 {cuts[49]:.2f}, p95 {cuts[94]:.2f}, longest {max(seconds):.2f}")
    each = ", ".join(f"{rate:.0f}" for rate in rates)
    print(f"changes evaluated meanwhile, for each evaluator in a second: {each}", file=sys.stderr)


if __name__ == "__main__":
    main()
