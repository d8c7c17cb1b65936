"""Measures the time from a callback to its alert, through the real API, worker and database.

    python -m benchmarks.callbacks

Beat does not run and polls are five minutes apart, so only the callback can cause the alert.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg2

from scripts.local.postgres import Postgres
from scripts.local.processes import wait_until
from scripts.local.valkey import Valkey
from scripts.twilio_simulator.callbacks import Callbacks
from scripts.twilio_simulator.configuration import Targets
from tests.conftest import migrate
from tests.kits.deployment import Deployment

RULES = (
    {"name": "Messages", "log_type": "message", "pattern_type": "status", "pattern_value": "undelivered"},
    {"name": "Calls", "log_type": "call", "pattern_type": "status", "pattern_value": "failed"},
    {"name": "Errors", "log_type": "error", "pattern_type": "any"},
)
SETTINGS = {"POLL_INTERVAL_SECONDS": "300", "EVALUATE_INTERVAL_SECONDS": "3600"}
LOOK_SECONDS = 0.005
MAX_SECONDS = 60.0


class Bench:
    """GiftPulse between a simulated Twilio that sends callbacks and a database that is checked for alerts."""

    def __init__(self, world: Deployment) -> None:
        self.world, self.numbers = world, 0
        self._connection = psycopg2.connect(world.database_url)
        self._connection.autocommit = True
        world.poll_once()
        world.start("api", "worker")
        self.account = world.simulator.account.sid
        for rule in RULES:
            group = "error_code" if rule["log_type"] == "error" else "to"
            world.make("/api/rules", {**rule, "group_by": [group]})

    def _ask(self, sql: str, *values: object) -> object:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone()[0]  # type: ignore[index]

    def new_number(self) -> str:
        """Return a number without logs, so that its alert is unique."""
        self.numbers += 1
        return f"+1415555{self.numbers:04}"

    def known(self, kind: str, count: int) -> list[tuple[str, str]]:
        """Store logs that are not final; return their SIDs and numbers."""
        simulator, made = self.world.simulator, []
        for _ in range(count):
            number = self.new_number()
            if kind == "message":
                made.append((simulator.add_message(status="sent", to=number), number))
            else:
                made.append((simulator.add_call(status="ringing", end_time=None, to=number), number))
        self.world.api.post(f"/api/accounts/{self.account}/poll").raise_for_status()
        wait_until(
            lambda: self._ask("SELECT count(*) FROM logs WHERE sid = ANY(%s)", [sid for sid, _ in made]) == count,
            "the logs are read",
            seconds=60,
        )
        return made

    def await_alert(self, field: str, value: object) -> None:
        """Wait for the alert of a group."""
        sql = 'SELECT count(*) FROM alerts WHERE "group" ->> %s = %s'
        end = time.monotonic() + MAX_SECONDS
        while not self._ask(sql, field, str(value)):
            if time.monotonic() > end:
                raise TimeoutError(f"no alert for {field} {value}")
            time.sleep(LOOK_SECONDS)

    def fail(self, sid: str, number: str) -> tuple[str, object]:
        """Let a log fail; the simulator sends the callback."""
        if sid.startswith("CA"):
            self.world.simulator.change(sid, status="failed", end_time=self.world.simulator.clock.now())
        else:
            self.world.simulator.change(sid, status="undelivered", error_code=30003)
        return "to", number


Case = Callable[[Bench, int], Iterator[Callable[[], tuple[str, object]]]]
"""Yields, for each callback, a function that causes it and returns the group of its alert."""


def known(kind: str) -> Case:
    def case(bench: Bench, count: int) -> Iterator[Callable[[], tuple[str, object]]]:
        for sid, number in bench.known(kind, count):
            yield partial(bench.fail, sid, number)

    return case


def unknown(kind: str) -> Case:
    def case(bench: Bench, count: int) -> Iterator[Callable[[], tuple[str, object]]]:
        def bring() -> tuple[str, object]:
            number, simulator = bench.new_number(), bench.world.simulator
            hidden = {"visible_after": 86_400, "to": number}
            if kind == "message":
                return bench.fail(simulator.add_message(status="sent", **hidden), number)
            simulator.add_call(status="failed", **hidden)
            return "to", number

        yield from [bring] * count

    return case


def errors(bench: Bench, count: int) -> Iterator[Callable[[], tuple[str, object]]]:
    def bring() -> tuple[str, object]:
        bench.numbers += 1
        code = 70_000 + bench.numbers
        bench.world.simulator.add_error(error_code=str(code), visible_after=86_400)
        return "error_code", code

    yield from [bring] * count


CASES: dict[str, tuple[str, bool, Case]] = {
    "status of a message that is known": ("status", True, known("message")),
    "status of a message that is not": ("status", True, unknown("message")),
    "status of a call that is known": ("status", True, known("call")),
    "status of a call that is not": ("status", True, unknown("call")),
    "entry of the error log": ("error", True, errors),
    "events in an array, of messages that are known": ("events", True, known("message")),
    "one event alone, of the error log": ("events", False, errors),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.callbacks", description=__doc__)
    parser.add_argument("--count", type=int, default=36, help="callbacks of each kind; default: 36")
    parser.add_argument("--burst", type=int, default=300, help="callbacks at once, at the end; default: 300")
    given = parser.parse_args()
    with _bench() as bench:
        print("| callback | p50 | p95 | longest |\n| --- | --- | --- | --- |", flush=True)
        for name, (way, batch, case) in CASES.items():
            with Callbacks(bench.world.simulator, _targets(bench, way), batch_events=batch):
                print(_row(name, [_seconds(bench, bring) for bring in case(bench, given.count)]), flush=True)
        if given.burst:
            _burst(bench, given.burst)


@contextmanager
def _bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="giftpulse-callbacks-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL does not run as root
        postgres, valkey = Postgres(folder / "postgres"), Valkey(folder / "valkey")
        try:
            postgres.start()
            valkey.start()
            migrate(postgres.url())
            with Deployment(postgres.url(), valkey.url(), folder, SETTINGS) as world:
                yield Bench(world)
        finally:
            valkey.stop()
            postgres.stop()


def _targets(bench: Bench, way: str) -> Targets:
    return Targets(**{way: f"{bench.world.url}/webhooks/twilio/{way}"})


def _seconds(bench: Bench, bring: Callable[[], tuple[str, object]]) -> float:
    began = time.monotonic()
    bench.await_alert(*bring())
    return time.monotonic() - began


def _burst(bench: Bench, count: int) -> None:
    """Let many messages fail at once; measure when the last callback was answered, and when the last alert existed."""
    logs = bench.known("message", count)
    with Callbacks(bench.world.simulator, _targets(bench, "status")) as pushed:
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda log: bench.fail(*log), logs))
        pushed.flush(MAX_SECONDS)
        answered = time.monotonic() - began
        for _, number in logs:
            bench.await_alert("to", number)
    print(f"{count} at once: all answered after {answered:.2f} s, all alerts after {time.monotonic() - began:.2f} s")


def _row(name: str, seconds: list[float]) -> str:
    percentiles = statistics.quantiles(seconds, n=20, method="inclusive")
    return f"| {name} | {percentiles[9]:.3f} | {percentiles[18]:.3f} | {max(seconds):.3f} |"


if __name__ == "__main__":
    main()
