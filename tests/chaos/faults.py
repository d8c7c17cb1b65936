"""The faults. Each is over, or repaired, when its function returns; a frozen worker resumes later."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from scripts.twilio_simulator import FaultKind
from tests.chaos.environment import Environment
from tests.kits.proxy import Proxy

PAUSE_SECONDS = 25.0
"""Longer than a lease in this run."""
TWILIO_FAULTS = tuple(
    kind
    for kind in FaultKind
    # Refused credentials are retried only after a quarter of an hour; a huge response costs our own memory.
    if kind not in (FaultKind.REFUSED, FaultKind.HUGE, FaultKind.ODD_RECORDS)
)


@dataclass
class Faults:
    """Injects faults and counts them."""

    environment: Environment
    rng: Random
    counts: Counter[str] = field(default_factory=Counter)
    _resume_at: list[tuple[float, str]] = field(default_factory=list)

    def inject(self) -> str:
        """Inject one fault and return its name."""
        self.resume_frozen(time.monotonic())
        fault = self.rng.choices([fault for fault, _ in FAULTS], [weight for _, weight in FAULTS])[0]
        name = fault.__name__.replace("_", " ")
        fault(self)
        self.counts[name] += 1
        return name

    def resume_frozen(self, now: float) -> None:
        """Resume workers that have slept past their leases."""
        for at, name in list(self._resume_at):
            if at <= now:
                self._resume_at.remove((at, name))
                self.environment.signal_all(name, signal.SIGCONT)

    def heal(self) -> None:
        """Remove all faults."""
        self.resume_frozen(float("inf"))
        for line in self.environment.lines.values():
            line.behave()
        self.environment.simulator.faults.clear()
        self.environment.ledger.share_of_failures = 0.0

    def _awake_worker(self) -> str:
        asleep = {name for _, name in self._resume_at}
        return self.rng.choice([name for name in self.environment.worker_names if name not in asleep])

    def _line(self) -> Proxy:
        return self.environment.lines[self.rng.choice(list(self.environment.lines))]

    def kill_a_worker_with_its_children(self) -> None:
        name = self._awake_worker()
        self.environment.kill(name, whole=True)
        self.environment.start(name)

    def kill_a_workers_main_process(self) -> None:
        name = self._awake_worker()
        self.environment.kill(name, whole=False)
        self.environment.start(name)

    def kill_a_child_of_a_worker(self) -> None:
        children = self.environment.pids_of(self._awake_worker())
        if children:
            os.kill(self.rng.choice(children), signal.SIGKILL)

    def freeze_a_worker_past_its_leases(self) -> None:
        if self._resume_at:
            return
        name = self._awake_worker()
        self.environment.signal_all(name, signal.SIGSTOP)
        self._resume_at.append((time.monotonic() + PAUSE_SECONDS, name))

    def kill_the_broker(self) -> None:
        self.environment.valkey.stop(signal.SIGKILL)
        time.sleep(self.rng.uniform(0, 2))
        self.environment.valkey.start()

    def empty_the_broker(self) -> None:
        self.environment.valkey.ask("FLUSHALL")

    def restart_postgresql_fast(self) -> None:
        self.environment.postgres.stop(signal.SIGINT)
        self.environment.postgres.start()

    def restart_postgresql_at_once(self) -> None:
        self.environment.postgres.stop(signal.SIGQUIT)
        self.environment.postgres.start()

    def cut_a_line(self) -> None:
        self._line().cut()

    def cut_lines_within_answers(self) -> None:
        line = self._line()
        line.cuts_after_bytes = self.rng.choice((1, 20, 200, 2_000))
        time.sleep(1)
        line.cuts_after_bytes = None

    def freeze_a_line(self) -> None:
        line = self._line()
        line.frozen = True
        time.sleep(self.rng.uniform(1, 3))
        line.frozen = False

    def refuse_on_a_line(self) -> None:
        line = self._line()
        line.refuses = True
        line.cut()
        time.sleep(self.rng.uniform(0.5, 2))
        line.refuses = False

    def let_receivers_fail(self) -> None:
        self.environment.ledger.share_of_failures = self.rng.choice((0.1, 0.5, 1.0))

    def let_twilio_misbehave(self) -> None:
        self.environment.simulator.faults.at_random(
            self.rng.choice((0.1, 0.3)), self.rng.randrange(10**6), TWILIO_FAULTS, seconds=2, retry_after_seconds=1
        )

    def kill_beat(self) -> None:
        self.environment.kill("beat", whole=True)
        self.environment.start("beat")

    def kill_the_api(self) -> None:
        self.environment.kill("api", whole=True)
        self.environment.start("api")


FAULTS: tuple[tuple[Callable[[Faults], None], int], ...] = (
    (Faults.kill_a_worker_with_its_children, 4),
    (Faults.kill_a_workers_main_process, 2),
    (Faults.kill_a_child_of_a_worker, 6),
    (Faults.freeze_a_worker_past_its_leases, 1),
    (Faults.kill_the_broker, 2),
    (Faults.empty_the_broker, 2),
    (Faults.restart_postgresql_fast, 1),
    (Faults.restart_postgresql_at_once, 2),
    (Faults.cut_a_line, 4),
    (Faults.cut_lines_within_answers, 3),
    (Faults.freeze_a_line, 3),
    (Faults.refuse_on_a_line, 2),
    (Faults.let_receivers_fail, 3),
    (Faults.let_twilio_misbehave, 2),
    (Faults.kill_beat, 1),
    (Faults.kill_the_api, 1),
)
