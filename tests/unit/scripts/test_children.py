"""Children that die: one is started again, unless that is of no use."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.children import MAX_DEATHS, ChildDied, Children
from tests.kits.waiting import wait_until


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    made = Children(tmp_path, tmp_path)
    yield made
    made.stop()


def start(children: Children, program: str) -> None:
    children.start("worker", [sys.executable, "-c", program], {})


def die(children: Children) -> None:
    wait_until(lambda: children.running["worker"].poll() is not None, "it dies")


def test_one_that_is_killed_is_started_again(children: Children) -> None:
    start(children, "import time; time.sleep(60)")
    assert children.revive() == []
    first = children.running["worker"]
    first.kill()
    die(children)
    assert children.revive() == ["worker"]
    assert children.running["worker"].pid != first.pid
    assert children.running["worker"].poll() is None


def test_one_that_dies_again_and_again_is_given_up(children: Children) -> None:
    start(children, "print('no luck'); raise SystemExit(1)")
    for _ in range(MAX_DEATHS):
        die(children)
        assert children.revive() == ["worker"]
    die(children)
    with pytest.raises(ChildDied) as raised:
        children.revive()
    assert "the worker stopped with exit code 1" in str(raised.value)
    assert "    no luck" in str(raised.value)


def test_one_whose_settings_cannot_be_used_is_given_up_at_once(children: Children) -> None:
    start(children, "raise SystemExit(2)")
    die(children)
    with pytest.raises(ChildDied):
        children.revive()
