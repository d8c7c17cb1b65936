"""The result of a preview, before serialization."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from app.services.rules.groups import MAX_GROUPS, group_key, group_key_of, other_group
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion

ValueAt = Callable[[datetime], float | None]
"""Returns the measured value at a time; None if there is none."""
CountAlerts = Callable[[Rule], int]
"""Counts the alerts of the previewed rule with another limit, from the numbers already read."""


class PreviewAlert(NamedTuple):
    """One alert that the rule would have opened."""

    group: dict[str, Any]
    started_at: datetime
    resolved_at: datetime | None
    occurrences: int


class Windows(NamedTuple):
    """Non-empty windows of a `ratio`, counted per group."""

    number: int
    too_small: int
    """Windows with fewer than `min_total` logs, which are not evaluated."""

    def plus(self, other: "Windows") -> "Windows":
        """Add the windows of another group."""
        return Windows(self.number + other.number, self.too_small + other.too_small)


@dataclass
class PreviewResult:
    """The effect of a rule on a span of logs."""

    value_at: ValueAt | None
    """Returns the measured value at a time, of the group nearest to firing. None: count the matches."""
    count_alerts: CountAlerts
    alerts: list[PreviewAlert] = field(default_factory=list)
    matches: list[tuple[datetime, int]] = field(default_factory=list)
    """Times and numbers of matches."""
    judged: tuple[datetime, datetime] | None = None
    """The first and the last time with a verdict; None if there is none in the span."""
    windows: Windows | None = None
    """For `ratio` only."""


class GroupSlots:
    """Assigns slots to groups in order of appearance; later ones share `__other__`."""

    def __init__(self, rule: Rule) -> None:
        self._rule, self._keys = rule, set[str]()

    def key(self, log: LogVersion) -> str:
        """Return the group that a log is counted in."""
        key = group_key_of(self._rule, log)
        if not self._rule.group_by or key in self._keys:
            return key
        if len(self._keys) >= MAX_GROUPS:
            return group_key(other_group(self._rule))
        self._keys.add(key)
        return key
