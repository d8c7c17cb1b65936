"""How many logs a second go from Twilio over HTTP into the database, through all rules, to alerts and deliveries.

    python -m benchmarks.ingest [--logs 100000] [--rules 10 1000] [--profile]

One process polls and one evaluates, as a worker's do; the simulator and PostgreSQL are on the same machine. Beside it,
in the same run: a plain COPY of the same rows (the columns and Twilio's JSON) into a table without an index, about the
most that this PostgreSQL takes in. Rates differ from machine to machine and from hour to hour; the ratios hold.
"""

import argparse
import contextlib
import cProfile
import multiprocessing
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from typing import Any

import httpx
import orjson
import psutil
import psycopg2
from sqlalchemy import text

from app.config import get_settings
from app.database import session_scope
from app.services import catalogue, evaluation
from app.services.ingest import accounts, polling
from app.services.outbox import actions
from app.utils.clock import utc_now
from benchmarks import servers
from scripts.local.postgres import Postgres
from scripts.local.valkey import Valkey
from scripts.twilio_simulator import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN

COLUMNS = (
    *("sid", "status", "direction", "from", "to", "error_code", "error_message", "body", "price", "price_unit"),
    *("num_segments", "date_created", "date_sent"),
)
FAILING = 0.1
EARLIER = timedelta(days=2)
"""The rules are older than all logs, so that every log may alert."""


@dataclass(frozen=True)
class Result:
    """Logs a second."""

    rules: int
    new: float
    unchanged: float
    copy: float
    matches: int
    alerts: int
    deliveries: int


def rule_bodies(count: int) -> Iterator[dict[str, Any]]:
    """Make rules as monitors have them: ten that concern the traffic, the others things that do not happen."""
    plain = {"log_type": "message", "renotify_minutes": None}
    yield plain | {"name": "Undelivered", "pattern_type": "status", "pattern_value": "undelivered,failed"}
    yield plain | {
        "name": "Bursts to a country",
        "pattern_type": "status",
        "pattern_value": "undelivered,failed",
        "condition": {"type": "threshold", "count": 20, "window_minutes": 5},
        "group_by": ["to_country", "error_code"],
    }
    for code in (30003, 30005, 30006, 30007, 30008):
        yield plain | {"name": f"Code {code}", "pattern_type": "error_code", "pattern_value": str(code)}
    yield plain | {"name": "Codes", "pattern_type": "error_code", "pattern_value": "30000-30999", "group_by": ["from"]}
    yield plain | {"name": "Words", "pattern_type": "keyword", "pattern_value": "blocked,suspended"}
    yield plain | {"name": "Pattern", "pattern_type": "regex", "pattern_value": r"\border \d+ (is )?late\b"}
    chance = random.Random(7)
    for number in range(count - 10):
        kind, value, filters = _elsewhere(chance, number)
        body = plain | {"name": f"Rule {number}", "pattern_type": kind, "pattern_value": value, "filters": filters}
        if number % 20 == 0:
            body["condition"] = {"type": "threshold", "count": 10, "window_minutes": 5}
        yield body


def _elsewhere(chance: random.Random, number: int) -> tuple[str, str, dict[str, list[str]]]:
    kind = chance.random()
    code = chance.randrange(11_000, 29_000)
    if kind < 0.4:
        return "error_code", f"{code},{code + 7},{code + 50}-{code + 90}", {}
    if kind < 0.6:
        return "status", "failed,undelivered", {"from": [f"+1415{chance.randrange(10**7):07}"]}
    if kind < 0.85:
        return "keyword", f"phrase{number},word {number},carrier{number}", {}
    return "regex", rf"\border[- ]?{number}x\b.*(late|lost)", {}


def prepare(rules: int) -> int:
    """Make the account, the rules and an action; return the stream of messages."""
    now = utc_now()
    with session_scope() as session:
        accounts.ensure_environment_account(session, get_settings(), now)
        for body in rule_bodies(rules):
            catalogue.create(session, body, now)
        for table in ("accounts", "rules"):
            session.execute(text(f"UPDATE {table} SET started_at = :at"), {"at": now - EARLIER})
        session.execute(text("UPDATE rule_sets SET version = version + 1"))
    config = {"url": "https://hooks.example.com/giftpulse"}
    with session_scope() as session:
        actions.create(session, {"action_type": "webhook", "config": config}, now)
        return int(session.execute(text("SELECT id FROM streams WHERE log_type = 'message'")).scalar_one())


def forget_reading(stream_id: int) -> None:
    """Let the next poll read everything again, as the first did."""
    with session_scope() as session:
        session.execute(
            text(
                "UPDATE streams SET complete_from = NULL, complete_until = NULL, read_from = NULL, reading = '{}',"
                " swept_at = '{}', due_at = now() - interval '1 second' WHERE id = :id"
            ),
            {"id": stream_id},
        )


def evaluate_until(seen: Any, wanted: int, profile: bool) -> None:
    """Evaluate, as a worker does when it is woken, until all is evaluated."""
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    settings, done = get_settings(), 0
    seen.put("ready")
    cpu_began = time.process_time()
    while done < wanted:
        done += evaluation.evaluate_changes(settings, 60)
        time.sleep(0.005)
    evaluation.evaluate_time(settings, utc_now())
    seen.put((done, time.process_time() - cpu_began))
    if profile:
        profiler.disable()
        profiler.dump_stats("evaluate.prof")


def poll_all(stream_id: int) -> None:
    """Poll until the stream is complete; a long reading takes several polls."""
    settings = get_settings()
    while True:
        polling.poll(stream_id, settings)
        with session_scope() as session:
            row = session.execute(
                text("SELECT complete_until IS NOT NULL, last_error FROM streams WHERE id = :id"), {"id": stream_id}
            ).one()
            if row[1]:
                raise RuntimeError(row[1])
            if row[0]:
                return
            session.execute(text("UPDATE streams SET due_at = now() WHERE id = :id"), {"id": stream_id})


def cpu_seconds(process: psutil.Process) -> float:
    """Add up the processor time of a process and of all that it started, those that have ended among them."""
    used = process.cpu_times()
    total = used.user + used.system + used.children_user + used.children_system
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return total


def timed_new(stream_id: int, logs: int, database: psutil.Process, profile: bool) -> float:
    """Read, store, evaluate and alert all logs; return the rate."""
    context = multiprocessing.get_context("spawn")
    seen = context.Queue()
    evaluator = context.Process(target=evaluate_until, args=(seen, logs, profile))
    evaluator.start()
    seen.get(timeout=60)
    profiler = cProfile.Profile()
    began, cpu_began, database_began = time.perf_counter(), time.process_time(), cpu_seconds(database)
    if profile:
        profiler.enable()
    poll_all(stream_id)
    if profile:
        profiler.disable()
        profiler.dump_stats("poll.prof")
    polled, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    done, evaluator_cpu = seen.get(timeout=900)
    took = time.perf_counter() - began
    evaluator.join()
    assert done == logs, f"{done} changes evaluated of {logs}"
    spent = {"read": cpu, "evaluate": evaluator_cpu, "PostgreSQL": cpu_seconds(database) - database_began}
    print(f"    read in {polled:.1f} s, evaluated in {took:.1f} s; microseconds of a processor a log: ", end="")
    print(", ".join(f"{name} {seconds / logs * 1e6:.0f}" for name, seconds in spent.items()), flush=True)
    return logs / took


def timed_unchanged(stream_id: int, logs: int) -> float:
    """Read all logs again, none of which changed; return the rate."""
    forget_reading(stream_id)
    began = time.perf_counter()
    poll_all(stream_id)
    took = time.perf_counter() - began
    assert evaluation.evaluate_changes(get_settings(), 60) == 0, "nothing changed"
    return logs / took


def timed_copy(url: str, rows: str, logs: int) -> float:
    """COPY the rows into a bare table; return the better rate of two."""
    connection = psycopg2.connect(url)
    best = 0.0
    columns = ", ".join(f'"{name}" text' for name in COLUMNS)
    for _ in range(2):
        with connection, connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS plain; CREATE TABLE plain ({columns}, raw jsonb)")
        with connection, connection.cursor() as cursor:
            began = time.perf_counter()
            cursor.copy_expert("COPY plain FROM STDIN", StringIO(rows))
            connection.commit()
            best = max(best, logs / (time.perf_counter() - began))
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE plain")
    connection.close()
    return best


def copy_rows(twilio: httpx.Client) -> str:
    """Write all messages of the simulator as COPY wants them."""
    path: str | None = f"/2010-04-01/Accounts/{DEMO_ACCOUNT_SID}/Messages.json?PageSize=1000"
    lines: list[str] = []
    while path:
        page = orjson.loads(twilio.get(path, auth=(DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN)).content)
        lines.extend(map(_line, page["messages"]))
        path = page["next_page_uri"]
    return "\n".join(lines) + "\n"


def _line(record: dict[str, Any]) -> str:
    return "\t".join([*(_field(record[name]) for name in COLUMNS), _field(orjson.dumps(record).decode())])


def _field(value: object) -> str:
    return "\\N" if value is None else str(value).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def run(
    postgres: Postgres, valkey: Valkey, twilio: httpx.Client, rows: str, logs: int, rules: int, profile: bool
) -> Result:
    name = f"rules_{rules}"
    postgres.create_database(name)
    servers.settle_environment(postgres.url(name), valkey.url(), str(twilio.base_url))
    stream_id = prepare(rules)
    assert postgres.process is not None
    new = timed_new(stream_id, logs, psutil.Process(postgres.process.pid), profile)
    unchanged = timed_unchanged(stream_id, logs)
    copy = timed_copy(postgres.url(name), rows, logs)
    with session_scope() as session:
        counts = [
            session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in ("logs", "matches", "alerts", "deliveries")
        ]
    assert counts[0] == logs
    return Result(rules, new, unchanged, copy, *counts[1:])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--logs", type=int, default=100_000)
    parser.add_argument("--rules", type=int, nargs="+", default=[10, 1_000])
    parser.add_argument("--profile", action="store_true", help="write poll.prof and evaluate.prof")
    options = parser.parse_args()
    with servers.databases() as (postgres, valkey), servers.simulator() as twilio:
        # Spread over most of a day, so that the last 24 hours hold them all.
        spacing = 60_000 / options.logs
        twilio.post("/_simulator/bulk", json={"count": options.logs, "failing": FAILING, "spacing_seconds": spacing})
        rows = copy_rows(twilio)
        results = [run(postgres, valkey, twilio, rows, options.logs, rules, options.profile) for rules in options.rules]
    print(f"\n{options.logs:,} messages, logs a second (and the share of COPY's rate)\n")
    print("| rules | all new | all unchanged | COPY of the rows | matches | alerts | deliveries |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for one in results:
        print(
            f"| {one.rules:,} | {one.new:,.0f} ({one.new / one.copy:.2f})"
            f" | {one.unchanged:,.0f} ({one.unchanged / one.copy:.2f}) | {one.copy:,.0f}"
            f" | {one.matches:,} | {one.alerts:,} | {one.deliveries:,} |"
        )


if __name__ == "__main__":
    main()
