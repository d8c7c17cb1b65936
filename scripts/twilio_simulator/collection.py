"""The records of one kind and account in the order of Twilio's lists, and their pages."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scripts.twilio_simulator.records import Record

Wanted = Callable[[Record], bool]


@dataclass(frozen=True)
class Slice:
    """Some records in list order, newest first, and whether more follow."""

    records: list[Record]
    more: bool


@dataclass(frozen=True)
class Bounds:
    """Sort keys outside of which nothing matches: an optimization."""

    oldest: float = float("-inf")
    newest: float = float("inf")


class Collection:
    """Records by SID and in order."""

    def __init__(self) -> None:
        self.by_sid: dict[str, Record] = {}
        self._order: list[tuple[float, int, Record]] = []
        """Ascending by sort key, then by order of arrival."""

    def add(self, record: Record) -> None:
        """Add a record whose number is greater than all others."""
        self.by_sid[record.sid] = record
        insort(self._order, (record.sort_key(), record.number, record))

    def add_many(self, records: list[Record]) -> None:
        """Add many records at once."""
        self.by_sid.update((record.sid, record) for record in records)
        self._order.extend((record.sort_key(), record.number, record) for record in records)
        self._order.sort(key=lambda item: item[:2])

    def move(self, record: Record, old_key: float) -> None:
        """Move a record after a change of its sort key."""
        if record.sort_key() != old_key:
            del self._order[self._index(old_key, record.number)]
            insort(self._order, (record.sort_key(), record.number, record))

    def drop(self, record: Record) -> None:
        """Remove a record."""
        del self.by_sid[record.sid]
        del self._order[self._index(record.sort_key(), record.number)]

    def page(self, size: int, after_sid: str | None, wanted: Wanted, bounds: Bounds, now: float) -> Slice:
        """Return the page after a record, or the first page.

        Raises: KeyError: there is no such record.
        """
        found: list[Record] = []
        for record in self._older(after_sid, bounds):
            if record.visible_at > now or record.removed or not wanted(record):
                continue
            if len(found) == size:
                return Slice(found, more=True)
            found.append(record)
        return Slice(found, more=False)

    def page_before(self, size: int, before_sid: str, wanted: Wanted, now: float) -> Slice:
        """Return the page before a record.

        Raises: KeyError: there is no such record.
        """
        start = self._place(before_sid) + 1
        newer = (item[2] for item in self._order[start:])
        found = [record for record in newer if record.visible_at <= now and not record.removed and wanted(record)]
        return Slice(found[:size][::-1], more=True)

    def _older(self, after_sid: str | None, bounds: Bounds) -> Iterator[Record]:
        start = bisect_right(self._order, bounds.newest, key=lambda item: item[0])
        if after_sid is not None:
            start = min(start, self._place(after_sid))
        order = self._order
        for index in range(start - 1, -1, -1):
            key, _, record = order[index]
            if key < bounds.oldest:
                return
            yield record

    def _place(self, sid: str) -> int:
        record = self.by_sid[sid]
        return self._index(record.sort_key(), record.number)

    def _index(self, key: float, number: int) -> int:
        return bisect_left(self._order, (key, number), key=lambda item: item[:2])
