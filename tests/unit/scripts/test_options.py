"""What is said to `scripts/start` before anything is installed or started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local import bootstrap, ports
from scripts.local.options import parse

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("words", [["--port", "99999"], ["--port", "0"], ["--port", "²"], ["--prot", "1"]])
def test_an_invalid_option_is_reported_in_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words)
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n"), words[0] in said) == (2, 1, True)


def test_the_help_needs_nothing_but_python() -> None:
    bare = [sys.executable, "-S", "-m", "scripts.local.options", "--help"]
    done = subprocess.run(bare, cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    assert "--folder" in done.stdout


def test_the_start_asks_for_its_options_before_it_installs(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "GIFTPULSE_PYTHON": "/bin/false"}
    done = subprocess.run([ROOT / "scripts" / "start", "-h"], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "--port" in done.stdout) == (0, True)


def test_the_output_of_pip_becomes_one_line() -> None:
    unreachable = (
        "WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError(...)': /simple/x/\n"
        "ERROR: Could not find a version that satisfies the requirement x (from versions: none)\n"
        "ERROR: No matching distribution found for x\n"
    )
    assert "package index cannot be reached" in bootstrap.reason(unreachable)
    assert bootstrap.reason("ERROR: No matching distribution found for x") == "No matching distribution found for x"
    no_version = "ERROR: Could not find a version that satisfies the requirement x==1.0 (from versions: {})\n"
    not_found = "ERROR: No matching distribution found for x==1.0\n"
    # An index that answers 503 looks to pip as one that has no such package.
    assert bootstrap.reason(no_version.format("none") + not_found) == (
        "the package index has no x==1.0, or cannot be reached; see PIP_INDEX_URL, HTTPS_PROXY and the network"
    )
    assert bootstrap.reason(no_version.format("0.1, 0.2") + not_found) == "No matching distribution found for x==1.0"
    assert bootstrap.reason("") == "pip said nothing"


def test_unreadable_ports_are_chosen_again(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("")
    assert ports._kept(tmp_path / "ports.json") == {}
