"""Runs the tests marked `hunt` with random seeds until the time is up: `scripts/test --hunt 30`.

A seed that fails is printed with the command that repeats it, and the hunt continues.
"""

import argparse
import secrets
import subprocess
import sys
import time
from collections.abc import Callable

MAX_SEED = 2**32


def main(arguments: list[str]) -> int:
    """Hunt; return 1 if a seed failed."""
    parser = argparse.ArgumentParser(prog="scripts/test --hunt", description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, help="the first seed; random where it is not given")
    known, rest = parser.parse_known_args(arguments)
    return 1 if hunt(known.minutes * 60, known.seed, lambda seed, left: _run(seed, left, rest)) else 0


def hunt(seconds: float, first: int | None, run: Callable[[int, float], bool | None]) -> list[int]:
    """Run with one seed after another until the time is up; return the seeds that failed.

    Args:    run: takes a seed and the remaining seconds; returns whether it passed, None if time ran out.
    """
    end, seed, failed, passed = time.monotonic() + seconds, first, [], 0
    while (left := end - time.monotonic()) > 0:
        seed = secrets.randbelow(MAX_SEED) if seed is None else seed
        outcome = run(seed, left)
        if outcome is False:
            failed.append(seed)
        passed += outcome is True
        seed = None
    print(f"hunt: {passed} seeds passed, {len(failed)} failed{': ' if failed else ''}{', '.join(map(str, failed))}")
    return failed


def command(seed: int) -> list[str]:
    """Return the arguments for running the tests with a seed, for `scripts/test` or `python -m pytest`."""
    return ["-m", "hunt", "-q", "--hypothesis-profile=hunt", f"--hypothesis-seed={seed}"]


def _run(seed: int, seconds: float, rest: list[str]) -> bool | None:
    print(f"hunt: seed {seed}", flush=True)
    pytest = [sys.executable, "-m", "pytest", "-n", "auto", "--maxprocesses", "4", *command(seed), *rest]
    try:
        code = subprocess.run(pytest, timeout=seconds, check=False).returncode
    except subprocess.TimeoutExpired:
        return None
    if code:
        print(f"hunt: seed {seed} failed; repeat it with: scripts/test {' '.join([*command(seed), *rest])}", flush=True)
    return code == 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
