"""Commands at a terminal that are interrupted, or run beside workers: nothing is lost, doubled or held up."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.database import session_scope
from app.models import Backfill, Stream
from app.utils.clock import utc_now
from scripts.twilio_simulator import add_messages
from scripts.twilio_simulator.faults import FaultKind
from tests.conftest import ROOT
from tests.integration.faults.conftest import CrashRig
from tests.kits.stages import let_leases_end
from tests.kits.waiting import PATIENCE_SECONDS, wait_until

PAST = 1000
"""Messages of the week before."""
BACKFILL = ("backfill", "--since", "7d")


@contextmanager
def _typed(rig: CrashRig, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Type a command; it lives no longer than the block."""
    environment = rig.stages.environment | {"PATH": os.environ["PATH"], "COLUMNS": "200"}
    command = [sys.executable, "-m", "app", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Commands hear Ctrl-C: a shell that runs the tests in the background would have them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _leased() -> int:
    with session_scope() as session:
        return len(session.scalars(select(Stream.id).where(Stream.lease_until > utc_now())).all())


@pytest.mark.parametrize(
    ("how", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow)],
    ids=["Ctrl-C", "SIGKILL"],
)
def test_a_backfill_that_is_interrupted_is_continued(rig: CrashRig, how: signal.Signals, code: int) -> None:
    assert rig.stages.run("poll") == 0
    now, before = utc_now(), len(rig.stored())
    add_messages(rig.simulator, PAST, newest_at=now - timedelta(days=3), spacing_seconds=300, failing=0)
    day = f"DateSent%3C={now - timedelta(days=4):%Y-%m-%d}"
    rig.simulator.faults.add(FaultKind.STALL, path=day, seconds=600)
    with _typed(rig, *BACKFILL) as command:
        wait_until(lambda: any(day in seen.target for seen in rig.simulator.requests), "it hangs")
        assert before < len(rig.stored()) < before + PAST
        command.send_signal(how)
        said, _ = command.communicate(timeout=PATIENCE_SECONDS)
    assert command.returncode == code
    assert "Traceback" not in said
    if how == signal.SIGINT:
        assert "interrupted" in said
        assert _leased() == 0, "workers need not wait for the lease to end"
    rig.go_on()
    assert set(rig.stored()) == rig.emitted(), "the next poll goes on"
    with _typed(rig, *BACKFILL) as again:
        said, _ = again.communicate(timeout=PATIENCE_SECONDS)
    assert (again.returncode, "100 %" in said) == (0, True)
    with session_scope() as session:
        assert all(session.scalars(select(Backfill.finished_at)))
    rig.check_in_the_end()


@pytest.mark.usefixtures("two_pages")
@pytest.mark.slow
def test_commands_beside_workers_do_nothing_twice(rig: CrashRig) -> None:
    for stage in ("poll", "evaluate", "deliver"):
        worker = rig.stages.start(stage)
        with _typed(rig, stage) as command:
            said, _ = command.communicate(timeout=PATIENCE_SECONDS)
        worker.join(PATIENCE_SECONDS)
        assert (worker.exitcode, command.returncode) == (0, 0), said
    let_leases_end()
    rig.go_on()
    rig.check_in_the_end()
