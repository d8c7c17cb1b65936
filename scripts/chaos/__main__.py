"""`python -m scripts.chaos`: see the package."""

import shutil
import tempfile
import threading
import time
from pathlib import Path
from random import Random, SystemRandom
from typing import Annotated

import typer

from scripts.chaos.blows import Blows
from scripts.chaos.judge import Verdict, judge
from scripts.chaos.town import Ledger, Town
from scripts.chaos.traffic import happen
from scripts.twilio_simulator import Simulator

LONGEST_REST_SECONDS = 300.0


def main(
    seed: Annotated[int | None, typer.Option(help="Deal the blows of an earlier run.")] = None,
    seconds: Annotated[float, typer.Option(help="How long traffic and blows go on.")] = 60,
    workers: Annotated[int, typer.Option(help="How many workers there are.")] = 3,
    per_second: Annotated[float, typer.Option(help="How many logs come into being a second.")] = 10,
    keep: Annotated[bool, typer.Option(help="Keep the folder with the logs of all processes.")] = False,
) -> None:
    """Let GiftPulse run while everything around it fails, then judge what came of it."""
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="giftpulse-chaos-"))
    folder.chmod(0o755)
    dice = _dice(seed)
    try:
        ledger = Ledger(_dice(dice.random()))
        with Town(folder, dice, workers, Simulator(seed=seed), ledger) as town:
            blows = Blows(town, _dice(dice.random()))
            _rage(town, blows, _dice(dice.random()), seconds, per_second)
            verdict = _rest(town)
            for name, number in sorted(blows.dealt.items()):
                print(f"blow: {number} x {name}")
        for name, number in verdict.figures.items():
            print(f"{name}: {number}")
        for fault in verdict.faults:
            print(f"FAULT: {fault}")
        print("nothing is lost" if not verdict.faults else f"{len(verdict.faults)} faults; the seed is {seed}")
    finally:
        print(f"logs: {folder}") if keep else shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(1 if verdict.faults else 0)


def _dice(seed: float) -> Random:
    return Random(seed)  # noqa: S311 - chance is no secret


def _rage(town: Town, blows: Blows, dice: Random, seconds: float, per_second: float) -> None:
    """Let traffic and blows go on for some time."""
    over = threading.Event()

    def traffic() -> None:
        while not over.wait(dice.expovariate(per_second)):
            happen(town.simulator, dice)

    thread = threading.Thread(target=traffic, name="traffic", daemon=True)
    thread.start()
    began = time.monotonic()
    try:
        while time.monotonic() - began < seconds:
            time.sleep(blows.dice.uniform(0, 3))
            print(f"{time.monotonic() - began:5.1f} s  {blows.deal()}", flush=True)
    finally:
        over.set()
        thread.join()
        blows.end()


def _rest(town: Town) -> Verdict:
    """Wait until everything is as it must be, or for long enough."""
    began = time.monotonic()
    while True:
        town.let_digests_come()
        verdict = judge(town)
        rested = time.monotonic() - began
        if not verdict.faults or rested > LONGEST_REST_SECONDS:
            print(f"at rest after {rested:.0f} s", flush=True)
            return verdict
        time.sleep(2)


if __name__ == "__main__":
    typer.run(main)
