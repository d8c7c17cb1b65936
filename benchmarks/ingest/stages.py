"""Measures the cost of a log at each stage: CPU microseconds of Python and of PostgreSQL.

One process does all the work, so every microsecond belongs to a stage. Other load on the machine hardly affects CPU
time.
"""

import argparse
import functools
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.config import get_settings
from app.database import session_scope
from app.models import Stream
from app.services.alerts import changes
from app.services.evaluation import (
    change_queue,
    group_slots,
    match_evaluator,
    match_groups,
    matching,
    minute_counts,
    pipeline,
)
from app.services.ingest import budget, intake, listing, polling, streams
from app.services.logs import log_rows, store
from app.services.rules.rule_index import RuleIndex
from app.services.twilio.client import TwilioReader
from benchmarks.ingest.rules import add_rules
from benchmarks.ingest.world import a_world, relist_everything

STAGES: list[tuple[str, Any, str]] = [
    ("fetch a page", TwilioReader, "_page"),
    ("hold lease and budget", streams, "prolong"),
    ("hold lease and budget", budget, "consume"),
    ("lock the stream", streams, "lock"),
    ("read heads, hash", intake, "_read_heads"),
    ("look up what is known", log_rows, "lookup"),
    ("normalize", intake, "_normalize_changed"),
    ("mark as read", store, "mark_read"),
    ("store logs", store, "_insert"),
    ("update logs", store, "_update"),
    ("write changes", store, "_write_changes"),
    ("count metrics", store, "_count"),
    ("look for pushes", intake, "apply_pushes"),
    ("note how far", listing, "_save_progress"),
    ("poll: the rest", polling, "poll"),
    ("compile rules", pipeline, "load_rule_set"),
    ("read changes", change_queue, "read_changes"),
    ("match", RuleIndex, "match_batch"),
    ("look for earlier matches", matching, "_drop_known_matches"),
    ("count minutes", matching, "_add_counts"),
    ("assign slots", group_slots, "assign_slots"),
    ("save minutes", minute_counts, "save"),
    ("matches: load", match_groups, "load"),
    ("matches: judge", match_evaluator, "_evaluate_group"),
    ("alerts: save", changes.AlertChanges, "save_alerts"),
    ("matches: save", match_evaluator, "_save_matches"),
    ("matches: timed", match_evaluator, "add_matches"),
    ("notices", changes.AlertChanges, "enqueue_notices"),
    ("evaluate: the rest", pipeline, "evaluate_changes"),
]
"""Names and functions of the stages, inner ones before their callers."""


class Meter:
    """Splits CPU time among stages; nested stages count separately."""

    def __init__(self, postgres: Callable[[], float]) -> None:
        self._postgres = postgres
        self._stack: list[str] = []
        self._last = (0.0, 0.0)
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def enter(self, stage: str) -> None:
        """Begin a stage."""
        self._charge()
        self._stack.append(stage)

    def leave(self) -> None:
        """End the current stage."""
        self._charge()
        self._stack.pop()

    def _charge(self) -> None:
        now = time.process_time(), self._postgres()
        if self._stack:
            kept = self.spent[self._stack[-1]]
            kept[0] += now[0] - self._last[0]
            kept[1] += now[1] - self._last[1]
        self._last = time.process_time(), now[1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest.stages", description=__doc__)
    parser.add_argument("--logs", type=int, default=50_000, help="default: 50000")
    parser.add_argument("--rules", type=int, default=1_000, help="default: 1000")
    given = parser.parse_args()
    with a_world(given.logs) as world, world.database("stages"):
        add_rules(given.rules)
        with session_scope() as session:
            pid = _only_connection(session)
        meter = Meter(lambda: _run_seconds(pid))
        _measure_all(meter)
        for title in ("all new", "all unchanged"):
            meter.spent.clear()
            _work()
            _print(title, meter, given.logs)


def _only_connection(session: Session) -> int:
    return int(session.scalar(text("SELECT pg_backend_pid()")) or 0)


def _run_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _measure_all(meter: Meter) -> None:
    for name, owner, function in STAGES:
        setattr(owner, function, _measured(getattr(owner, function), name, meter))
    # A page is fetched in a thread, whose time would count for the stage that runs concurrently.
    setattr(listing, "prefetched", lambda items: items)  # noqa: B010  # mypy: a module that imports it does not export it


def _measured(function: Callable[..., Any], name: str, meter: Meter) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        meter.enter(name)
        try:
            return function(*args, **kwargs)
        finally:
            meter.leave()

    return wrapper


def _work() -> None:
    relist_everything()
    with session_scope() as session:
        ids = [stream.id for stream in session.query(Stream)]
    for stream_id in ids:
        polling.poll(stream_id, get_settings())
    pipeline.evaluate_changes(get_settings(), 600.0)


def _print(title: str, meter: Meter, logs: int) -> None:
    print(f"\n{title:28} {'Python us':>10} {'PostgreSQL us':>14}")
    for name in dict.fromkeys(stage[0] for stage in STAGES):
        if name in meter.spent:
            _line(name, meter.spent[name], logs)
    _line("sum", [sum(spent[index] for spent in meter.spent.values()) for index in (0, 1)], logs)


def _line(name: str, spent: list[float], logs: int) -> None:
    print(f"{name:28} {spent[0] / logs * 1e6:>10.1f} {spent[1] / logs * 1e6:>14.1f}")


if __name__ == "__main__":
    main()
