"""Rules as values: what the index and the conditions work on. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.enums import PatternType
from app.services.rules.conditions.base import Condition


@dataclass(frozen=True)
class Rule:
    """One enabled rule, as it stands in one version of the rule set."""

    id: UUID
    epoch: int
    """Grows when the meaning is edited or the rule is enabled: matches of an earlier epoch do not count."""
    name: str
    severity: str
    log_type: str
    """call, message, error or any."""
    filters: Mapping[str, frozenset[str]]
    """Field of a log (as the API names it: `from`, not `from_`) to the values let through; only fields with values."""
    pattern_type: PatternType
    pattern_value: str | None
    condition: Condition
    group_by: tuple[str, ...]
    schedule: Mapping[str, Any] | None
    started_at: datetime
    """A log counts if its `changed_at` is not before this, both cut to the second."""
    resolve_after_minutes: int
    renotify_minutes: int | None
    cooldown_minutes: int
    depends_on: tuple[UUID, ...] = ()
    """Rules whose open alerts suppress those of this one."""

    @property
    def window(self) -> timedelta:
        """The length of the condition's window; zero where it has none."""
        return self.condition.window

    @property
    def settle_delay(self) -> timedelta:
        """How long before it is judged the window of a `ratio` ends; zero for the others."""
        return self.condition.settle_delay

    @property
    def quiet_period(self) -> timedelta:
        """How long there must be no new match before an alert resolves."""
        return timedelta(minutes=self.resolve_after_minutes)
