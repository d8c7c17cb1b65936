"""Schemas of rules. The service parses the bodies; these models only document them."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.api.schemas.common import (
    WARNINGS,
    FieldWarning,
    PageQuery,
    ResponseModel,
    ShownId,
    ShownTime,
)
from app.api.schemas.logs import DIRECTION
from app.enums import PatternType, Severity
from app.services.rules.definition import RuleDefinition
from app.services.rules.fields import GroupField

Population = Literal["call", "message", "error", "any"]
FILTERS = (
    "Lists of values that narrow the population: `account_sid`, `direction`, `from`, `to`, `to_country`, "
    "`messaging_service_sid`, `level`. An empty or missing list allows all values."
)
CONDITION = (
    "When matches open an alert: its `type` (`each`, `threshold`, `ratio`, `no_data`, `spike`, `new_value`, `stuck` "
    "or `sum`) and the parameters of that type. Default: `each`."
)
VALUE = (
    "The pattern: comma-separated codes and ranges, statuses or keywords; an RE2 pattern; a CEL expression; "
    "null for `any`."
)
SCHEDULE = {"timezone": "Europe/Berlin", "days": ["mon"], "start": "09:00", "end": "18:00"}


COMMON_PARTS = {
    "type": "The type of condition.",
    "count": "Number of different matching logs.",
    "window_minutes": "Length of the window, in minutes.",
    "percent": "The share of matches among the final logs, in percent.",
    "resolve_count": "An alert resolves when fewer matching logs than this are left in the window; at most `count`. "
    "Default: `count`.",
    "resolve_percent": "An alert resolves when the share is below this; at most `percent`. Default: `percent`.",
    "min_total": "With fewer logs in the window, the condition is not evaluated.",
    "settle_minutes": "The window ends this many minutes ago, so that logs have time to become final.",
    "min_count": "Minimum number of matching logs.",
    "factor": "Multiple of the median of the previous windows.",
    "baseline_windows": "Number of previous windows for the median.",
    "lookback_days": "How far back a value counts as known, in days.",
    "older_than_minutes": "Age in minutes from which a log that is not final counts as stuck.",
    "at_least": "Minimum sum of the absolute values.",
}
PARTS: dict[str, dict[str, str]] = {
    "Filters": {
        "account_sid": "Accounts, by sid.",
        "direction": DIRECTION,
        "from": "Senders, as Twilio formats them.",
        "to": "Recipients, as Twilio formats them.",
        "to_country": "Countries of the recipients' numbers, ISO 3166 alpha-2.",
        "messaging_service_sid": "Messaging services, by sid.",
        "level": "Levels of error-log entries.",
    },
    "Each": {},
    "Threshold": {},
    "Ratio": {},
    "NoData": {"min_count": "The condition holds with fewer matching logs than this."},
    "Spike": {},
    "NewValue": {"field": "The field whose values are watched."},
    "Stuck": {},
    "Sum": {"field": "The field to sum."},
    "Schedule": {
        "timezone": "An IANA time zone.",
        "days": "Days of the week; default: all.",
        "start": "Start, in local time.",
        "end": "End, in local time. An end at or before `start` is on the next day.",
    },
}
"""Descriptions of the fields, by the part of a rule that they belong to."""


class RuleFilters(PageQuery):
    """Filters for rules: none, only paging."""


class Rule(ResponseModel):
    """One rule."""

    id: ShownId = Field(description="Its id.")
    name: str = Field(description="Display name.", examples=["Failed Call Detection"])
    description: str = Field(description="What it is for.", examples=["Alert when calls fail"])
    enabled: bool = Field(description="A disabled rule is not evaluated.", examples=[True])
    severity: Severity = Field(description="Severity of its alerts.", examples=["warning"])
    log_type: Population = Field(description="Which logs it evaluates.", examples=["call"])
    filters: dict[str, Any] = Field(description=FILTERS, examples=[{"to_country": ["GB"]}])
    pattern_type: PatternType = Field(description="How the pattern selects matching logs.", examples=["error_code"])
    pattern_value: str | None = Field(description=VALUE, examples=["30001,30002,30003"])
    condition: dict[str, Any] = Field(description=CONDITION, examples=[{"type": "each"}])
    group_by: list[GroupField] = Field(description="One alert for each combination of these values.", examples=[[]])
    renotify_minutes: int | None = Field(
        description="Minutes between updates of an open alert; null: none.", examples=[60]
    )
    resolve_after_minutes: int = Field(
        description="Minutes without a match after which an alert resolves.", examples=[60]
    )
    cooldown_minutes: int = Field(
        description="Minutes after a firing notification before the next of the same group.", examples=[10]
    )
    schedule: dict[str, Any] | None = Field(description="When the rule may fire; null: always.", examples=[None])
    depends_on: list[ShownId] = Field(
        description="Ids of other rules. While an alert of one of them is open, this rule's alerts in the same account "
        "are recorded with `suppressed_by`, and notify nobody.",
        examples=[[]],
    )
    created_at: ShownTime = Field(description="When it was created.")
    updated_at: ShownTime = Field(description="When it was last edited.")


def _describe(schema: dict[str, Any]) -> None:
    """Copy descriptions and examples of `Rule` to the fields of a body."""
    for name, field in schema["properties"].items():
        shown = Rule.model_fields.get(name)
        if shown is None:
            continue
        field["description"] = shown.description
        field["examples"] = shown.examples or field.get("examples", [field.get("default")])
        if name == "enabled":
            field["examples"] = [False]  # sending the example unchanged alerts no one
        if isinstance(field.get("default"), dict):
            del field["default"]  # the description names it: client generators support only plain defaults


class RuleBody(RuleDefinition):
    """A rule to create, or to replace one with."""

    model_config = ConfigDict(json_schema_extra=_describe)


class RuleDetail(Rule):
    """One rule and its health."""

    first_judged_at: ShownTime | None = Field(
        description="The first minute at which a condition over time is evaluated: the end of the first whole window "
        "since the rule's start. It is evaluated once the logs up to it are read. Null for a disabled rule, and for "
        "`each`, `threshold` and `new_value`, which are evaluated at each match."
    )
    judged_until: ShownTime | None = Field(
        description="The last minute at which a condition over time was evaluated; null: none yet."
    )
    last_evaluated_at: ShownTime | None = Field(
        description="When the rule was last evaluated, even if there was nothing new."
    )
    last_matched_at: ShownTime | None = Field(description="When a log last matched.")
    last_error: str | None = Field(description="The last error in its evaluation.", examples=[None])
    last_error_at: ShownTime | None = Field(description="When the last error occurred.")
    error_count: int = Field(description="Number of errors since the rule was started.", examples=[0])
    cost_ms: float | None = Field(description="Duration of its last evaluation, in milliseconds.", examples=[0.4])
    groups: int = Field(description="Number of groups that it tracks.", examples=[0])
    left_out_accounts: list[str] = Field(
        description="Accounts of the rule that have been unreadable for an hour: it is evaluated without them.",
        examples=[[]],
    )
    groups_capped: bool = Field(description="Whether it has seen more groups than it can track.", examples=[False])
    warnings: list[FieldWarning] = Field(description=WARNINGS, examples=[[]])


class RulePage(ResponseModel):
    """A page of rules, newest first."""

    items: list[Rule] = Field(description="The rules.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
