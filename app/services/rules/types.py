"""Rules as values: what the index and the conditions work on. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from app.enums import PatternType


class LogVersion(NamedTuple):
    """One log in one of its states, as rules see it."""

    change_id: int
    log_id: int
    is_first: bool
    """True for the first stored version of the log: no rule can have matched it before."""
    account_id: int
    account_sid: str
    sid: str
    log_type: str
    status: str | None
    level: str | None
    direction: str | None
    from_: str | None
    to: str | None
    to_country: str | None
    error_code: int | None
    error_message: str | None
    text: str | None
    price: Decimal | None
    price_unit: str | None
    duration_seconds: int | None
    segments: int | None
    messaging_service_sid: str | None
    resource_sid: str | None
    occurred_at: datetime
    changed_at: datetime
    final: bool


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
    condition: Mapping[str, Any]
    group_by: tuple[str, ...]
    schedule: Mapping[str, Any] | None
    started_at: datetime
    """A log counts if its `changed_at` is not before this, both cut to the second."""
    resolve_after_minutes: int
    renotify_minutes: int | None
    cooldown_minutes: int
