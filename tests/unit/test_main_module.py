"""`python -m app` under a Python that lacks what it needs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_outside_the_environment_one_line_says_which_python_to_use() -> None:
    bare = [sys.executable, "-S", "-m", "app", "doctor"]  # -S: without the packages that were installed
    done = subprocess.run(bare, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert ".venv/bin/python -m app" in done.stderr
