"""The benchmarks run; how fast is for people to read."""

import subprocess
import sys

from tests.conftest import ROOT


def test_the_benchmark_of_the_whole_path_stores_and_evaluates_every_log() -> None:
    command = [sys.executable, "-m", "benchmarks.ingest", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "10 rules: 3000 logs" in done.stdout
    assert "all unchanged, 10 rules" in done.stdout
