"""Values that are cached for some seconds."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.utils.caching import ReadCache, TtlCache
from tests.kits.waiting import PATIENCE_SECONDS


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
    values = ReadCache(counted.read, 3600)
    assert [values.get(name) for name in ("day", "week", "day")] == ["DAY", "WEEK", "DAY"]
    assert counted.reads == ["day", "week"]


def test_an_old_value_is_read_again() -> None:
    counted = Counted()
    values = ReadCache(counted.read, -1)
    assert [values.get("day"), values.get("day")] == ["DAY", "DAY"]
    assert counted.reads == ["day", "day"]


def test_an_error_is_not_kept() -> None:
    values = ReadCache(Counted().read, 3600)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            values.get("broken")


def test_nobody_waits_for_a_value_that_another_one_reads() -> None:
    week_was_read = threading.Event()

    def read(name: str) -> bool:
        if name == "week":
            week_was_read.set()
        return week_was_read.wait(PATIENCE_SECONDS)

    values = ReadCache(read, 3600)
    with ThreadPoolExecutor() as threads:
        day = threads.submit(values.get, "day")
        assert values.get("week")
        assert day.result(PATIENCE_SECONDS)


def test_two_who_want_the_same_value_read_it_once() -> None:
    both_want_it = threading.Barrier(2)
    counted = Counted()
    values = ReadCache(counted.read, 3600)

    def want() -> str:
        both_want_it.wait(PATIENCE_SECONDS)
        return values.get("day")

    with ThreadPoolExecutor() as threads:
        wanted = [threads.submit(want), threads.submit(want)]
        assert [each.result(PATIENCE_SECONDS) for each in wanted] == ["DAY", "DAY"]
    assert counted.reads == ["day"]


def test_the_least_recently_used_value_is_evicted() -> None:
    counted = Counted()
    values = ReadCache(counted.read, 3600, max_entries=2)
    for name in ("day", "week", "day", "month", "day", "week"):
        values.get(name)
    assert counted.reads == ["day", "week", "month", "week"]


def test_a_cleared_value_is_read_again() -> None:
    counted = Counted()
    values = ReadCache(counted.read, 3600)
    for _ in range(2):
        values.get("day")
        values.clear()
    assert counted.reads == ["day", "day"]


def test_a_computed_value_is_kept_until_it_expires() -> None:
    kept, expired = TtlCache[str, int](3600, 2), TtlCache[str, int](0, 2)
    for values in (kept, expired):
        values.keep("day", 1)
    assert (kept.find("day"), expired.find("day"), kept.find("week")) == (1, None, None)


def test_the_oldest_computed_value_is_dropped() -> None:
    values = TtlCache[str, int](3600, 2)
    for number, name in enumerate(("day", "week", "day", "month")):
        values.keep(name, number)
    assert [values.find(name) for name in ("day", "week", "month")] == [2, None, 3]
