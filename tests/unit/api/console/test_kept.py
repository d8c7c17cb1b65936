"""What pages keep for some seconds."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.api.console import kept
from app.api.console.kept import Kept


class Counted:
    """Counts how often it is read."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    def read(self, name: str) -> str:
        self.reads.append(name)
        if name == "broken":
            raise ValueError(name)
        return name.upper()


def test_a_value_is_read_once_while_it_is_fresh() -> None:
    counted = Counted()
    values = Kept(counted.read, 3600)
    assert [values.get(name) for name in ("day", "week", "day")] == ["DAY", "WEEK", "DAY"]
    assert counted.reads == ["day", "week"]


def test_an_old_value_is_read_again() -> None:
    counted = Counted()
    values = Kept(counted.read, -1)
    assert [values.get("day"), values.get("day")] == ["DAY", "DAY"]
    assert counted.reads == ["day", "day"]


def test_an_error_is_not_kept() -> None:
    values = Kept(Counted().read, 3600)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            values.get("broken")


def test_nobody_waits_for_a_value_that_another_one_reads() -> None:
    week_was_read = threading.Event()

    def read(name: str) -> bool:
        if name == "week":
            week_was_read.set()
        return week_was_read.wait(30)

    values = Kept(read, 3600)
    with ThreadPoolExecutor() as threads:
        day = threads.submit(values.get, "day")
        assert values.get("week")
        assert day.result(30)


def test_two_who_want_the_same_value_read_it_once() -> None:
    both_want_it = threading.Barrier(2)
    counted = Counted()
    values = Kept(counted.read, 3600)

    def want() -> str:
        both_want_it.wait(30)
        return values.get("day")

    with ThreadPoolExecutor() as threads:
        assert [each.result(30) for each in [threads.submit(want), threads.submit(want)]] == ["DAY", "DAY"]
    assert counted.reads == ["day"]


def test_the_least_recently_used_preview_is_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_KEPT", 2)
    counted = Counted()
    values = Kept(counted.read, 3600)
    for name in ("day", "week", "day", "month", "day", "week"):
        values.get(name)
    assert counted.reads == ["day", "week", "month", "week"]
