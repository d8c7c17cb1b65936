"""Rules as values: what the index and the conditions work on. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from app.enums import PatternType, ResolveReason


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
class EachParams:
    """Every match is worth an alert."""


@dataclass(frozen=True)
class ThresholdParams:
    """Many matches in a short time."""

    count: int
    window_minutes: int
    resolve_count: int | None = None

    @property
    def resolves_below(self) -> int:
        """An alert goes on while its latest window holds so many matches."""
        return self.count if self.resolve_count is None else self.resolve_count


@dataclass(frozen=True)
class RatioParams:
    """A share of the final logs."""

    percent: float
    window_minutes: int
    min_total: int
    settle_minutes: int
    resolve_percent: float | None = None

    @property
    def resolves_below(self) -> float:
        """An alert goes on while its latest window has this share of matches."""
        return self.percent if self.resolve_percent is None else self.resolve_percent


@dataclass(frozen=True)
class NoDataParams:
    """Too few matches."""

    window_minutes: int
    min_count: int


@dataclass(frozen=True)
class SpikeParams:
    """Many more matches than before."""

    factor: float
    window_minutes: int
    baseline_windows: int
    min_count: int


@dataclass(frozen=True)
class NewValueParams:
    """A value that was not there before."""

    field: str
    lookback_days: int


@dataclass(frozen=True)
class StuckParams:
    """Logs that do not become final."""

    older_than_minutes: int
    min_count: int


@dataclass(frozen=True)
class SumParams:
    """A sum over the matches."""

    field: str
    """`price`, `duration_seconds` or `segments`; absolute values are summed."""
    at_least: float
    window_minutes: int


Params = (
    EachParams | ThresholdParams | RatioParams | NoDataParams | SpikeParams | NewValueParams | StuckParams | SumParams
)
PARAMS: Mapping[str, type[Params]] = {
    "each": EachParams,
    "threshold": ThresholdParams,
    "ratio": RatioParams,
    "no_data": NoDataParams,
    "spike": SpikeParams,
    "new_value": NewValueParams,
    "stuck": StuckParams,
    "sum": SumParams,
}
"""The `type` of a condition to its parameters, which have the names of the JSON."""


@dataclass(frozen=True)
class Verdict:
    """What a condition over time says of one group at one minute."""

    holds: bool | None
    """True: it holds; False: an open alert is over; None: neither can be said."""
    value: float | None
    reason: ResolveReason = ResolveReason.CLEARED
    """Why an open alert is over."""
    baseline: float | None = None
    """Of `spike`: what the window is held against."""
    insufficient_since: datetime | None = None
    """Of `ratio`: since when there are too few logs to judge."""
    window_ended_at: datetime | None = None
    """Of `sum`: the end of the window that reached the limit."""
    is_past: bool = False
    """Of `sum`: that window is past, and the latest one is below the limit: fires, and keeps nothing open."""
    unit: str | None = None
    """Of `sum`: the currency of `value`, where prices came in several."""


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
    depends_on: tuple[UUID, ...] = ()
    """Rules whose open alerts suppress those of this one."""

    @cached_property
    def params(self) -> Params:
        """The parameters of the condition."""
        values = {name: value for name, value in self.condition.items() if name != "type"}
        return PARAMS[self.condition["type"]](**values)

    @property
    def window(self) -> timedelta:
        """The length of the condition's window; zero where it has none."""
        return timedelta(minutes=getattr(self.params, "window_minutes", 0))

    @property
    def settle_delay(self) -> timedelta:
        """How long before it is judged the window of a `ratio` ends; zero for the others."""
        return timedelta(minutes=getattr(self.params, "settle_minutes", 0))

    @property
    def quiet_period(self) -> timedelta:
        """How long there must be no new match before an alert resolves."""
        return timedelta(minutes=self.resolve_after_minutes)
