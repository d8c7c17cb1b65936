"""The coverage strips of an account's page: the state of each stream over time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from app.api.console.account_view import NAMES
from app.enums import Coverage
from app.services.ingest.coverage import CoverageItem

WORDS = {Coverage.READ: "read", Coverage.GAP: "missing for good", Coverage.NOT_YET: "not read yet"}


@dataclass(frozen=True)
class StripPart:
    """One span of a strip, in percent of its length."""

    x: float
    width: float
    state: Coverage
    item: CoverageItem


@dataclass(frozen=True)
class CoverageStrip:
    """The line of one stream."""

    name: str
    parts: Sequence[StripPart]

    @property
    def words(self) -> str:
        """The share of each state, for people who cannot see the strip."""
        shares = {state: sum(part.width for part in self.parts if part.state == state) for state in Coverage}
        return ", ".join(f"{share:.0f}% {WORDS[state]}" for state, share in shares.items() if share >= 0.5)


def strips(items: Sequence[CoverageItem]) -> list[CoverageStrip]:
    """Lay out the items of a report: one strip for each stream."""
    return [
        CoverageStrip(NAMES[log_type], _parts(list(of_stream)))
        for log_type, of_stream in groupby(items, key=lambda item: item.log_type)
    ]


def _parts(items: Sequence[CoverageItem]) -> list[StripPart]:
    since, length = items[0].since, items[-1].until - items[0].since
    return [
        StripPart(
            round(100 * ((item.since - since) / length), 3),
            round(100 * ((item.until - item.since) / length), 3),
            item.state,
            item,
        )
        for item in items
    ]
