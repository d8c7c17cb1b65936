"""Measures logs a second: all new, all unchanged, and the bare COPY of the same rows, in turns.

A log counts once it is stored, evaluated against all rules, and its alerts and their deliveries are recorded. The
worker is started as in production; the simulated Twilio serves pages of 1,000 over HTTP.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import text

from app import wake
from app.config import get_settings
from app.database import session_scope
from app.services.twilio.client import TwilioReader
from app.utils.clock import utc_now
from benchmarks.ingest.copying import copy_seconds, read_rows
from benchmarks.ingest.processes import cpu_seconds
from benchmarks.ingest.rules import add_rules
from benchmarks.ingest.world import World, a_world, await_evaluated, relist_everything
from scripts.twilio_simulator import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN


class Measured(NamedTuple):
    """One run over all logs."""

    seconds: float
    worker_cpu: float = 0.0
    postgres_cpu: float = 0.0


Case = tuple[str, int]
"""What is measured, and with how many rules; COPY has none."""


def main() -> None:
    given = _parser().parse_args()
    if given.quick:
        given.logs, given.rules, given.runs = 3_000, [10], 1
    found: dict[Case, list[Measured]] = defaultdict(list)
    with a_world(given.logs) as world:
        rows: list[str] = []
        for run in range(given.runs):
            for rules in given.rules:
                with world.database(f"run_{run}_{rules}"):
                    rows = rows or _rows()
                    add_rules(rules)
                    _measure(world, rules, rows, found)
                    if run == 0:
                        print(f"{rules} rules: {_print_results(given.logs)}", flush=True)
    _print(found, given.logs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--logs", type=int, default=100_000, help="default: 100000")
    parser.add_argument("--rules", type=int, nargs="+", default=[10, 1_000], help="default: 10 1000")
    parser.add_argument("--runs", type=int, default=3, help="default: 3")
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that it works")
    return parser


def _rows() -> list[str]:
    url = get_settings().twilio_api_base_url
    with TwilioReader(DEMO_ACCOUNT_SID, DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN, url, url) as reader:
        return read_rows(reader)


def _measure(world: World, rules: int, rows: list[str], found: dict[Case, list[Measured]]) -> None:
    """Measure each case once, in turn, so that other load on the machine affects all of them."""
    found["COPY with raw", 0].append(Measured(copy_seconds(rows, raw=True)))
    found["COPY", 0].append(Measured(copy_seconds(rows, raw=False)))
    with world.worker() as worker:
        for case in ("all new", "all unchanged"):
            found[case, rules].append(_timed(world, worker, _poll_everything))


def _poll_everything() -> None:
    relist_everything()
    began = utc_now()
    wake.poll()
    await_evaluated(began)


def _timed(world: World, worker: int, work: Callable[[], None]) -> Measured:
    assert world.postgres.process is not None
    pids = worker, world.postgres.process.pid
    before = [cpu_seconds(pid) for pid in pids]
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    return Measured(seconds, *(cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)))


def _print_results(logs: int) -> str:
    with session_scope() as session:
        counts = {
            name: session.scalar(text(f"SELECT count(*) FROM {name}"))
            for name in ("logs", "matches", "alerts", "deliveries")
        }
    assert counts["logs"] == logs, f"{logs} logs are listed, and {counts['logs']} are stored"
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _print(found: dict[Case, list[Measured]], logs: int) -> None:
    """Print medians: rates, their ratios to COPY, and CPU microseconds per log."""
    base = {name: _rate(found[name, 0], logs) for name in ("COPY with raw", "COPY")}
    print(f"\n{'':24} {'logs/s':>9} {'of COPY with raw':>17} {'of COPY':>8} {'worker us':>10} {'PostgreSQL us':>14}")
    for (name, rules), runs in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        rate = _rate(runs, logs)
        label = f"{name}, {rules} rules" if rules else name
        cpu = [statistics.median(run[index] for run in runs) / logs * 1e6 for index in (1, 2)]
        spent = f"{cpu[0]:>10.1f} {cpu[1]:>14.1f}" if rules else ""
        print(f"{label:24} {rate:>9,.0f} {rate / base['COPY with raw']:>17.2f} {rate / base['COPY']:>8.2f} {spent}")


def _rate(runs: list[Measured], logs: int) -> float:
    return logs / statistics.median(run.seconds for run in runs)


if __name__ == "__main__":
    main()
