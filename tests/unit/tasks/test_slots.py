"""Slots limit the tasks of each kind, and the system releases those of a dead process."""

import os
import signal
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from app.tasks import slots
from tests.kits.waiting import PATIENCE_SECONDS

fork = get_context("fork")


def _hold(kind: str, taken: Event, let_go: Event) -> None:
    with slots.slot(kind) as got:
        if got:
            taken.set()
            let_go.wait(PATIENCE_SECONDS)


def _try(kind: str) -> bool:
    """Ask for a slot from another process, as a task of another child would."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        with slots.slot(kind) as got:
            os.write(writer, b"1" if got else b"0")
        os._exit(0)
    os.wait()
    answer = os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    return answer == b"1"


def test_no_more_tasks_of_a_kind_run_than_there_are_slots() -> None:
    slots.prepare()
    let_go = fork.Event()
    children = []
    for _ in range(slots.SLOTS["deliver"]):
        taken = fork.Event()
        child = fork.Process(target=_hold, args=("deliver", taken, let_go))
        child.start()
        assert taken.wait(PATIENCE_SECONDS)
        children.append(child)
    assert not _try("deliver")
    assert _try("poll"), "each kind has slots of its own"
    let_go.set()
    for child in children:
        child.join()
    assert _try("deliver")


def test_a_killed_task_releases_its_slot() -> None:
    slots.prepare()
    children = []
    for _ in range(slots.SLOTS["evaluate"]):
        taken = fork.Event()
        child = fork.Process(target=_hold, args=("evaluate", taken, fork.Event()))
        child.start()
        assert taken.wait(PATIENCE_SECONDS)
        children.append(child)
    assert not _try("evaluate")
    for child in children:
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    assert _try("evaluate")


@pytest.mark.parametrize(
    ("processes", "of_kind"), [(slots.PROCESSES, slots.SLOTS), (slots.FEW_PROCESSES, slots.FEW_SLOTS)]
)
def test_tasks_that_take_long_leave_a_process_for_the_others(processes: int, of_kind: dict[str, int]) -> None:
    assert sum(of_kind[kind] for kind in ("poll", "evaluate", "deliver")) < processes
    assert of_kind["poll"] > slots.NESTED_SLOTS["poll_failing"], "a stream that hangs leaves a slot to the others"


def test_a_worker_with_few_processes_has_fewer_slots() -> None:
    slots.prepare(slots.FEW_PROCESSES)
    try:
        with slots.slot("deliver") as got:
            assert got
            assert not _try("deliver")
            assert _try("poll")
    finally:
        slots.prepare()


def test_a_small_machine_gets_fewer_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(slots, "MEMORY_LIMIT", limit)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2 * 1024**2}[name])
    assert slots.default_processes() == slots.PROCESSES, "no limit, 8 GiB"
    limit.write_text("max\n")
    assert slots.default_processes() == slots.PROCESSES
    limit.write_text(f"{512 * 1024**2}\n")
    assert slots.default_processes() == slots.FEW_PROCESSES
    limit.unlink()
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert slots.default_processes() == slots.FEW_PROCESSES
