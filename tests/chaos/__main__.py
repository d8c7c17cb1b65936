"""`python -m tests.chaos`: see the package."""

import shutil
import tempfile
import threading
import time
from pathlib import Path
from random import Random, SystemRandom
from typing import Annotated

import typer

from scripts.twilio_simulator import Simulator
from tests.chaos.environment import Environment, Ledger
from tests.chaos.faults import Faults
from tests.chaos.judge import Verdict, judge
from tests.chaos.traffic import happen

MAX_RECOVERY_SECONDS = 300.0


def main(
    seed: Annotated[int | None, typer.Option(help="Deal the blows of an earlier run.")] = None,
    seconds: Annotated[float, typer.Option(help="How long traffic and blows go on.")] = 60,
    workers: Annotated[int, typer.Option(help="How many workers there are.")] = 3,
    per_second: Annotated[float, typer.Option(help="How many logs come into being a second.")] = 10,
    keep: Annotated[bool, typer.Option(help="Keep the folder with the logs of all processes.")] = False,
) -> None:
    """Run GiftPulse while everything around it fails, then check the result."""
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="giftpulse-chaos-"))
    folder.chmod(0o755)
    rng = _rng(seed)
    try:
        ledger = Ledger(_rng(rng.random()))
        with Environment(folder, rng, workers, Simulator(seed=seed), ledger) as environment:
            faults = Faults(environment, _rng(rng.random()))
            _run_load(environment, faults, _rng(rng.random()), seconds, per_second)
            verdict = _wait_for_recovery(environment)
            for name, number in sorted(faults.counts.items()):
                print(f"blow: {number} x {name}")
        for name, number in verdict.figures.items():
            print(f"{name}: {number}")
        for failure in verdict.faults:
            print(f"FAULT: {failure}")
        print("nothing is lost" if not verdict.faults else f"{len(verdict.faults)} faults; the seed is {seed}")
    finally:
        print(f"logs: {folder}") if keep else shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(1 if verdict.faults else 0)


def _rng(seed: float) -> Random:
    return Random(seed)


def _run_load(environment: Environment, faults: Faults, rng: Random, seconds: float, per_second: float) -> None:
    """Create traffic and inject faults for some time."""
    over = threading.Event()

    def traffic() -> None:
        while not over.wait(rng.expovariate(per_second)):
            happen(environment.simulator, rng)

    thread = threading.Thread(target=traffic, name="traffic", daemon=True)
    thread.start()
    began = time.monotonic()
    try:
        while time.monotonic() - began < seconds:
            time.sleep(faults.rng.uniform(0, 3))
            print(f"{time.monotonic() - began:5.1f} s  {faults.inject()}", flush=True)
    finally:
        over.set()
        thread.join()
        faults.heal()


def _wait_for_recovery(environment: Environment) -> Verdict:
    """Wait until there are no faults, up to a limit."""
    began = time.monotonic()
    while True:
        environment.let_digests_come()
        verdict = judge(environment)
        rested = time.monotonic() - began
        if not verdict.faults or rested > MAX_RECOVERY_SECONDS:
            print(f"at rest after {rested:.0f} s", flush=True)
            return verdict
        time.sleep(2)


if __name__ == "__main__":
    typer.run(main)
