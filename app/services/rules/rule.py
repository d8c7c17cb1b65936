"""Rules as values, for the index and the conditions. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.enums import PatternType
from app.services.rules.conditions.base import Condition


@dataclass(frozen=True)
class Rule:
    """One enabled rule in one version of the rule set."""

    id: UUID
    epoch: int
    """Incremented when the rule restarts: matches of earlier epochs do not count."""
    name: str
    severity: str
    log_type: str
    """`call`, `message`, `error` or `any`."""
    filters: Mapping[str, frozenset[str]]
    """The allowed values by the field's name in the API (`from`, not `from_`); only fields with values."""
    pattern_type: PatternType
    pattern_value: str | None
    condition: Condition
    group_by: tuple[str, ...]
    schedule: Mapping[str, Any] | None
    started_at: datetime
    """A log counts if its `changed_at` is not before this, both truncated to the second."""
    resolve_after_minutes: int
    renotify_minutes: int | None
    cooldown_minutes: int
    depends_on: tuple[UUID, ...] = ()
    """Rules whose open alerts suppress this rule's."""

    @property
    def window(self) -> timedelta:
        """The length of the condition's window; zero without one."""
        return self.condition.window

    @property
    def settle_delay(self) -> timedelta:
        """How long before the evaluated minute the window of a `ratio` ends; zero for the others."""
        return self.condition.settle_delay

    @property
    def warm_up_span(self) -> timedelta | None:
        """How far before its start the rule reads logs; None if it needs no warm-up."""
        return self.condition.warm_up_span(grouped=bool(self.group_by))

    @property
    def quiet_period(self) -> timedelta:
        """An alert resolves after this long without a new match."""
        return timedelta(minutes=self.resolve_after_minutes)
