"""The numbers by which a condition over time judges a group, and its verdict. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from app.enums import ResolveReason
from app.services.spans import Span

MinuteAmounts = Sequence[tuple[datetime, Decimal]]
"""(minute, amount), oldest first. A minute is identified by its end."""
Amounts = Mapping[str, MinuteAmounts]
"""Amounts by unit. Those with an unknown unit count towards every other unit."""


class OpenAlert(Protocol):
    """What a condition needs to know of a group's open alert."""

    @property
    def started_at(self) -> datetime: ...
    @property
    def baseline(self) -> float | None: ...
    @property
    def insufficient_since(self) -> datetime | None: ...
    @property
    def price_unit(self) -> str | None: ...


class WindowCounts(NamedTuple):
    """The logs of a window."""

    total: int
    matched: int


NO_COUNTS = WindowCounts(0, 0)


def _no_window(index: int) -> WindowCounts:
    return NO_COUNTS


@dataclass(frozen=True)
class Numbers:
    """The numbers by which one group is judged at one minute, from any source."""

    at: datetime
    first: datetime
    """The first minute at which the rule is judged."""
    window: Callable[[int], WindowCounts] = _no_window
    """Returns the window at an index: 0 is the latest, 1 the one before."""
    known_from: datetime | None = None
    """From here on the rule's streams are completely read."""
    amounts: Amounts = field(default_factory=dict)
    """Of the last day plus one window."""
    alerted_spans: Sequence[Span] = ()
    """(from, to) of earlier alerts: windows that overlap them have alerted already."""
    stuck: int = 0
    """The number of stuck logs."""
    alert: OpenAlert | None = None
    was_holding: bool = False
    """The condition held at the previous minute."""


@dataclass(frozen=True)
class Verdict:
    """The result of a condition over time for one group at one minute."""

    holds: bool | None
    """True: it holds; False: an open alert is over; None: neither is known."""
    value: float | None
    reason: ResolveReason = ResolveReason.CLEARED
    """Why an open alert is over."""
    baseline: float | None = None
    """For `spike`: what the window is compared with."""
    insufficient_since: datetime | None = None
    """For `ratio`: since when there are too few logs to judge."""
    window_ended_at: datetime | None = None
    """For `sum`: the end of the window that reached the limit."""
    is_past: bool = False
    """For `sum`: that window is past and the latest is below the limit. It fires, but keeps no alert open."""
    unit: str | None = None
    """For `sum`: the currency of `value`, if there are several."""
