"""What may befall a town. Each blow is over, or mended, when its function returns; a frozen worker thaws later."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from scripts.chaos.town import Town
from scripts.twilio_simulator import FaultKind
from tests.kits.proxy import Proxy

PAUSE_SECONDS = 25.0
"""Longer than a lease lasts here."""
TWILIO_FAULTS = tuple(
    kind
    for kind in FaultKind
    # A credential that is refused is asked about again after a quarter of an hour; a huge answer costs our own memory.
    if kind not in (FaultKind.REFUSED, FaultKind.HUGE, FaultKind.ODD_RECORDS)
)


@dataclass
class Blows:
    """Deals blows, and counts them."""

    town: Town
    dice: Random
    dealt: Counter[str] = field(default_factory=Counter)
    _thaws: list[tuple[float, str]] = field(default_factory=list)

    def deal(self) -> str:
        """Deal one blow; return its name."""
        self.thaw(time.monotonic())
        blow = self.dice.choices([blow for blow, _ in BLOWS], [weight for _, weight in BLOWS])[0]
        name = blow.__name__.replace("_", " ")
        blow(self)
        self.dealt[name] += 1
        return name

    def thaw(self, now: float) -> None:
        """Let workers go on that have slept over their leases."""
        for at, name in list(self._thaws):
            if at <= now:
                self._thaws.remove((at, name))
                self.town.signal_all(name, signal.SIGCONT)

    def end(self) -> None:
        """Let everything be well from now on."""
        self.thaw(float("inf"))
        for line in self.town.lines.values():
            line.behave()
        self.town.simulator.faults.clear()
        self.town.ledger.share_of_failures = 0.0

    def _awake_worker(self) -> str:
        asleep = {name for _, name in self._thaws}
        return self.dice.choice([name for name in self.town.worker_names if name not in asleep])

    def _line(self) -> Proxy:
        return self.town.lines[self.dice.choice(list(self.town.lines))]

    def kill_a_worker_with_its_children(self) -> None:
        name = self._awake_worker()
        self.town.kill(name, whole=True)
        self.town.start(name)

    def kill_a_workers_main_process(self) -> None:
        name = self._awake_worker()
        self.town.kill(name, whole=False)
        self.town.start(name)

    def kill_a_child_of_a_worker(self) -> None:
        children = self.town.pids_of(self._awake_worker())
        if children:
            os.kill(self.dice.choice(children), signal.SIGKILL)

    def freeze_a_worker_past_its_leases(self) -> None:
        if self._thaws:
            return
        name = self._awake_worker()
        self.town.signal_all(name, signal.SIGSTOP)
        self._thaws.append((time.monotonic() + PAUSE_SECONDS, name))

    def kill_the_broker(self) -> None:
        self.town.valkey.stop(signal.SIGKILL)
        time.sleep(self.dice.uniform(0, 2))
        self.town.valkey.start()

    def empty_the_broker(self) -> None:
        self.town.valkey.ask("FLUSHALL")

    def restart_postgresql_fast(self) -> None:
        self.town.postgres.stop(signal.SIGINT)
        self.town.postgres.start()

    def restart_postgresql_at_once(self) -> None:
        self.town.postgres.stop(signal.SIGQUIT)
        self.town.postgres.start()

    def cut_a_line(self) -> None:
        self._line().cut()

    def cut_lines_within_answers(self) -> None:
        line = self._line()
        line.cuts_after_bytes = self.dice.choice((1, 20, 200, 2_000))
        time.sleep(1)
        line.cuts_after_bytes = None

    def freeze_a_line(self) -> None:
        line = self._line()
        line.frozen = True
        time.sleep(self.dice.uniform(1, 3))
        line.frozen = False

    def refuse_on_a_line(self) -> None:
        line = self._line()
        line.refuses = True
        line.cut()
        time.sleep(self.dice.uniform(0.5, 2))
        line.refuses = False

    def let_receivers_fail(self) -> None:
        self.town.ledger.share_of_failures = self.dice.choice((0.1, 0.5, 1.0))

    def let_twilio_misbehave(self) -> None:
        self.town.simulator.faults.at_random(
            self.dice.choice((0.1, 0.3)), self.dice.randrange(10**6), TWILIO_FAULTS, seconds=2, retry_after_seconds=1
        )

    def kill_beat(self) -> None:
        self.town.kill("beat", whole=True)
        self.town.start("beat")

    def kill_the_api(self) -> None:
        self.town.kill("api", whole=True)
        self.town.start("api")


BLOWS: tuple[tuple[Callable[[Blows], None], int], ...] = (
    (Blows.kill_a_worker_with_its_children, 4),
    (Blows.kill_a_workers_main_process, 2),
    (Blows.kill_a_child_of_a_worker, 6),
    (Blows.freeze_a_worker_past_its_leases, 1),
    (Blows.kill_the_broker, 2),
    (Blows.empty_the_broker, 2),
    (Blows.restart_postgresql_fast, 1),
    (Blows.restart_postgresql_at_once, 2),
    (Blows.cut_a_line, 4),
    (Blows.cut_lines_within_answers, 3),
    (Blows.freeze_a_line, 3),
    (Blows.refuse_on_a_line, 2),
    (Blows.let_receivers_fail, 3),
    (Blows.let_twilio_misbehave, 2),
    (Blows.kill_beat, 1),
    (Blows.kill_the_api, 1),
)
