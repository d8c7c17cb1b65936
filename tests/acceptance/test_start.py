"""The first minute: `scripts/start` on a machine that has nothing but Python."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from scripts.local.first_start import RULES
from scripts.local.processes import LOOPBACK, free_port
from scripts.twilio_simulator import Simulator, SimulatorServer
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).parent.parent.parent
LAUNCH = [sys.executable, "-m", "scripts.local.launch"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def _environment(**values: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **values}


@contextmanager
def _started(folder: Path, port: int, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start everything; the answer is the process, and what it said when all was running."""
    command = [*LAUNCH, "--folder", str(folder), "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=_environment(**environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C stops it" not in said:
            line = process.stdout.readline()
            assert line, f"it ended after saying: {said}"
            said += line
        yield process, said
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)


def _said(said: str, what: str) -> str:
    return next(line.split(what, 1)[1].split()[0] for line in said.splitlines() if what in line)


@pytest.mark.timeout(300)
def test_a_first_start_alerts_within_a_minute_and_stops_cleanly(folder: Path) -> None:
    port = free_port()
    with _started(folder, port) as (process, said):
        assert "watches the bundled Twilio simulator" in said
        key, inbox = _said(said, "API key"), _said(said, "Inbox")
        children = psutil.Process(process.pid).children(recursive=True)

        def kinds() -> set[str]:
            return {
                message["kind"]
                for message in httpx.get(f"{inbox}messages.json", trust_env=False, timeout=PATIENCE_SECONDS).json()
            }

        wait_until(lambda: kinds() == {"mail", "webhook"}, "a mail and a webhook are in the inbox")
        messages = httpx.get(f"{inbox}messages.json", trust_env=False, timeout=PATIENCE_SECONDS).json()
        assert {message["signature"] for message in messages if message["kind"] == "webhook"} == {"valid"}
        page = httpx.get(f"{inbox}messages/{messages[0]['number']}", trust_env=False, timeout=PATIENCE_SECONDS)
        assert page.is_success
        with httpx.Client(
            base_url=f"http://{LOOPBACK}:{port}", headers={"X-API-Key": key}, trust_env=False, timeout=PATIENCE_SECONDS
        ) as api:
            rules = api.get("/api/rules").json()["items"]
            assert {rule["name"] for rule in rules} == {rule["name"] for rule in RULES}
            before = api.get("/api/alerts").json()["items"]
            assert before
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)
        assert process.returncode == 0
        gone, alive = psutil.wait_procs(children, timeout=PATIENCE_SECONDS)
        assert alive == []
        assert len(gone) > 5

    with _started(folder, port) as (process, said):
        assert _said(said, "API key") == key
        with httpx.Client(
            base_url=f"http://{LOOPBACK}:{port}", headers={"X-API-Key": key}, trust_env=False, timeout=PATIENCE_SECONDS
        ) as api:
            assert {alert["id"] for alert in api.get("/api/alerts").json()["items"]} >= {each["id"] for each in before}
            assert len(api.get("/api/rules").json()["items"]) == len(rules), "the first start's rules are made once"
        second = subprocess.run(
            [*LAUNCH, "--folder", str(folder)],
            cwd=ROOT,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert "it runs already" in second.stderr
    assert (folder / "secrets.env").stat().st_mode & 0o077 == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("right", [True, False])
def test_the_banner_claims_no_more_than_twilio_lets_be_read(folder: Path, right: bool) -> None:
    with SimulatorServer(Simulator()) as server:
        account = server.simulator.account
        credentials = {
            "TWILIO_ACCOUNT_SID": account.sid,
            "TWILIO_AUTH_TOKEN": account.auth_token if right else "f" * 32,
            "TWILIO_API_BASE_URL": server.url,
            "TWILIO_MONITOR_BASE_URL": server.url,
        }
        with _started(folder, free_port(), **credentials) as (process, said):
            assert (f"It watches the Twilio account {account.sid}." in said) == right
            assert (
                f"It cannot read calls, messages and the error log of the Twilio account {account.sid}: " in said
            ) != right
            assert ("HTTP 401" in said) != right
            if right:  # To start everything once more for this would cost ten seconds of the processor.
                _check_that_a_killed_child_is_started_again(process)


def _check_that_a_killed_child_is_started_again(process: subprocess.Popen[str]) -> None:
    def beats() -> list[psutil.Process]:
        return [child for child in psutil.Process(process.pid).children() if "beat" in child.cmdline()]

    [killed] = beats()
    killed.kill()
    assert process.stdout is not None
    assert "the beat stopped and was started again" in process.stdout.readline()
    assert [beat.pid for beat in beats()] != [killed.pid]
    assert process.poll() is None


def test_an_invalid_setting_stops_it_with_one_line(folder: Path) -> None:
    done = subprocess.run(
        [*LAUNCH, "--folder", str(folder)],
        cwd=ROOT,
        env=_environment(POLL_INTERVAL_SECONDS="soon"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "giftpulse: POLL_INTERVAL_SECONDS must be a whole number\n")


def test_a_requested_port_in_use_is_reported(folder: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [*LAUNCH, "--folder", str(folder), "--port", port]
        done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
