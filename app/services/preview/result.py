"""What a preview finds, before it is shown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from app.services.rules.groups import group_key, group_key_of, other_group
from app.services.rules.types import LogVersion, Rule

MAX_GROUPS = 500
"""As many groups as a rule follows apart when it lives."""


class PreviewAlert(NamedTuple):
    """One alert that the rule would have opened."""

    group: dict[str, Any]
    started_at: datetime
    resolved_at: datetime | None
    occurrences: int


class Windows(NamedTuple):
    """Windows of a `ratio` with a log in them, each group's apart."""

    number: int
    too_small: int
    """Those with fewer than `min_total` logs, which are not judged."""

    def plus(self, other: "Windows") -> "Windows":
        """Add the windows of another group."""
        return Windows(self.number + other.number, self.too_small + other.too_small)


@dataclass
class PreviewResult:
    """What a rule makes of a span of logs."""

    value_at: Callable[[datetime], float | None] | None
    """What the rule measured at a moment, of several groups the one nearest to firing; None: it counts its matches."""
    alerts: list[PreviewAlert] = field(default_factory=list)
    matches: list[tuple[datetime, int]] = field(default_factory=list)
    """When logs matched, and how many."""
    judged: tuple[datetime, datetime] | None = None
    """The first and the last moment that the rule can say anything of; None: there is none in the span."""
    windows: Windows | None = None
    """Of `ratio` alone."""


class GroupSlots:
    """Gives groups their places in the order in which they come; the rest falls together."""

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
