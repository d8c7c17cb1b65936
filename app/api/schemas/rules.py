"""Rules on the wire. Bodies are read by the service; these shapes document them."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.api.schemas.common import WARNINGS, FieldWarning, PageQuery, ResponseModel, ShownId, ShownTime, TimeOrAge
from app.api.schemas.logs import DIRECTION
from app.enums import PatternType, Severity
from app.services.rules.definition import RuleDefinition

Population = Literal["call", "message", "error", "any"]
FILTERS = (
    "Lists of values, all of which narrow the population: `account_sid`, `direction`, `from`, `to`, `to_country`, "
    "`messaging_service_sid`, `level`. An empty list lets all through; so do lists that are not given."
)
CONDITION = (
    "When matches become an alert: its `type` (`each`, `threshold`, `ratio`, `no_data`, `spike`, `new_value`, `stuck` "
    "or `sum`) and what that takes. By default `each`."
)
VALUE = (
    "What the pattern looks for: codes and ranges, statuses or keywords by commas, an RE2 pattern, a CEL expression; "
    "null for `any`."
)
GroupBy = Literal[
    "account_sid",
    "from",
    "to",
    "to_country",
    "error_code",
    "status",
    "direction",
    "messaging_service_sid",
    "price_unit",
]
MATCHES = (
    "Logs that match, by the time that the condition goes by. With `each`, `threshold`, `spike` and `new_value` that "
    "is when they came into their state, so these may be more than the population: some were created before."
)
SCHEDULE = {"timezone": "Europe/Berlin", "days": ["mon"], "start": "09:00", "end": "18:00"}


COMMON_PARTS = {
    "type": "Which condition it is.",
    "count": "So many different matching logs.",
    "window_minutes": "Length of the window, in minutes.",
    "percent": "The share of matches among the final logs, in percent.",
    "min_total": "With fewer logs in the window nothing is judged.",
    "settle_minutes": "The window ends so many minutes ago, so that logs have had time to become final.",
    "min_count": "So many matching logs.",
    "factor": "So many times the median of the windows before.",
    "baseline_windows": "How many windows before make the median.",
    "lookback_days": "How far back a value counts as known, in days.",
    "older_than_minutes": "Logs that were created longer ago than so many minutes, and are not final.",
    "at_least": "What the absolute values add up to.",
}
PARTS: dict[str, dict[str, str]] = {
    "Filters": {
        "account_sid": "Accounts, by sid.",
        "direction": DIRECTION,
        "from": "Senders, as Twilio writes them.",
        "to": "Receivers, as Twilio writes them.",
        "to_country": "Countries of the receivers' numbers, ISO 3166 alpha-2.",
        "messaging_service_sid": "Messaging services, by sid.",
        "level": "Levels of error-log entries.",
    },
    "Each": {},
    "Threshold": {},
    "Ratio": {},
    "NoData": {"min_count": "Fewer matching logs than so many."},
    "Spike": {},
    "NewValue": {"field": "The field whose values are watched."},
    "Stuck": {},
    "Sum": {"field": "The field that is added up."},
    "Schedule": {
        "timezone": "A time zone of the IANA database.",
        "days": "Days of the week; by default all.",
        "start": "From when on, in local time.",
        "end": "Until when, in local time; at or before `start` it runs past midnight.",
    },
}
"""What the fields of the parts of a rule mean, by the name of the part."""


class RuleFilters(PageQuery):
    """Which rules: all of them."""


class Rule(ResponseModel):
    """One rule."""

    id: ShownId = Field(description="Its id.")
    name: str = Field(description="What people call it.", examples=["Failed Call Detection"])
    description: str = Field(description="What it is for.", examples=["Alert when calls fail"])
    enabled: bool = Field(description="A disabled rule looks at nothing.", examples=[True])
    severity: Severity = Field(description="How bad its alerts are.", examples=["warning"])
    log_type: Population = Field(description="Which logs it looks at.", examples=["call"])
    filters: dict[str, Any] = Field(description=FILTERS, examples=[{"to_country": ["GB"]}])
    pattern_type: PatternType = Field(description="How it is decided which of them match.", examples=["error_code"])
    pattern_value: str | None = Field(description=VALUE, examples=["30001,30002,30003"])
    condition: dict[str, Any] = Field(description=CONDITION, examples=[{"type": "each"}])
    group_by: list[GroupBy] = Field(description="One alert for each combination of these values.", examples=[[]])
    renotify_minutes: int | None = Field(
        description="Minutes between updates of an open alert; null: none.", examples=[60]
    )
    resolve_after_minutes: int = Field(
        description="Minutes without a match after which an alert resolves.", examples=[60]
    )
    cooldown_minutes: int = Field(
        description="Minutes after a firing notification before the next of the same group.", examples=[10]
    )
    schedule: dict[str, Any] | None = Field(description="When it may fire; null: always.", examples=[None])
    created_at: ShownTime = Field(description="When it was made.")
    updated_at: ShownTime = Field(description="When it was last edited.")


def _describe(schema: dict[str, Any]) -> None:
    """Put the words and examples of a shown rule to the fields of a body."""
    for name, field in schema["properties"].items():
        shown = Rule.model_fields.get(name)
        if shown is None:
            continue
        field["description"] = shown.description
        field["examples"] = shown.examples or field.get("examples", [field.get("default")])
        if name == "enabled":
            field["examples"] = [False]  # who sends the example as it stands alerts nobody
        if isinstance(field.get("default"), dict):
            del field["default"]  # the words tell it: generators of clients know only plain defaults


class RuleBody(RuleDefinition):
    """A rule to be made, or to take the place of one."""

    model_config = ConfigDict(json_schema_extra=_describe)


class PreviewBody(RuleBody):
    """A rule, and the span of stored logs to try it on."""

    since: TimeOrAge = Field(description="From when on, as if the rule had been made then.", examples=["7d"])
    until: TimeOrAge | None = Field(None, description="Up to when; default: now.", examples=[None])


class PreviewAlert(ResponseModel):
    """An alert that the rule would have opened."""

    group: dict[str, Any] = Field(description="The values that it is about.", examples=[{"to_country": "GB"}])
    started_at: ShownTime = Field(description="When it would have started.")
    resolved_at: ShownTime | None = Field(description="When it would have ended; null: still open at the end.")
    occurrences: int = Field(description="How many logs count towards it.", examples=[12])
    silenced: bool = Field(description="Silences would have held it all the time: nobody would have been told.")
    not_before: ShownTime | None = Field(
        description="Of an alert that is open at the end: a rule made now could open it then at the earliest. Null: it "
        "is over, or the next match opens it."
    )


class PreviewPoint(ResponseModel):
    """One point of the series."""

    at: ShownTime = Field(description="When the bucket begins.")
    population: int = Field(description="Logs of the population that Twilio created in it.", examples=[100])
    matches: int = Field(description=MATCHES, examples=[3])
    value: float | None = Field(description="What the condition measured at its end; null: nothing.", examples=[3.0])
    firing: bool = Field(description="An alert was open in it.", examples=[False])


class PreviewWindows(ResponseModel):
    """The windows of a `ratio`, one that ends at each minute and holds a log; each group's apart."""

    count: int = Field(description="How many.", examples=[1440])
    too_small: int = Field(description="Those with fewer logs than `min_total`, which are not judged.", examples=[1200])


class Preview(ResponseModel):
    """What a rule would have done."""

    population: int = Field(description="Logs of the population that Twilio created in the span.", examples=[1000])
    matches: int = Field(description=MATCHES, examples=[30])
    alerts: list[PreviewAlert] = Field(description="The alerts it would have opened, oldest first; at most 5000.")
    series: list[PreviewPoint] = Field(description="The span in at most 200 buckets or so, for a plot.")
    known_since: ShownTime | None = Field(
        description="From when on all logs that the rule looks at are stored; null: not known. What was before it is "
        "not judged: a backfill reads further back."
    )
    judged_from: ShownTime | None = Field(
        description="The first time of the span that the condition can say anything of; null: there is none."
    )
    judged_until: ShownTime | None = Field(description="The last one: so far the logs are read.")
    first_judged_at: ShownTime | None = Field(
        description="When a rule made now would first be judged. Null for `each`, `threshold` and `new_value`, which "
        "judge each match as it comes."
    )
    windows: PreviewWindows | None = Field(
        description="Of a `ratio`: how many windows there were, and how many were too small. Null for the others."
    )
    warnings: list[FieldWarning] = Field(description=WARNINGS, examples=[[]])


class RuleDetail(Rule):
    """One rule and how it fares."""

    first_judged_at: ShownTime | None = Field(
        description="The minute at which a condition over time is first judged: the first whole window since the "
        "rule's start has ended. It is judged as soon as the logs up to it are read. Null for a disabled rule, and for "
        "`each`, `threshold` and `new_value`, which judge each match as it comes."
    )
    judged_until: ShownTime | None = Field(
        description="The last minute at which a condition over time was judged; null: none yet."
    )
    last_evaluated_at: ShownTime | None = Field(
        description="When it was last looked at, whether or not there was something to judge."
    )
    last_matched_at: ShownTime | None = Field(description="When a log last matched.")
    last_error: str | None = Field(description="What last went wrong in it.", examples=[None])
    last_error_at: ShownTime | None = Field(description="When that was.")
    error_count: int = Field(description="How often something went wrong since it started.", examples=[0])
    cost_ms: float | None = Field(description="What its last evaluation cost, in milliseconds.", examples=[0.4])
    groups: int = Field(description="How many groups it follows.", examples=[0])
    left_out_accounts: list[str] = Field(
        description="Accounts it looks at that cannot be read for an hour: it waits for them no more.", examples=[[]]
    )
    groups_capped: bool = Field(description="It has met more groups than it may follow.", examples=[False])
    warnings: list[FieldWarning] = Field(description=WARNINGS, examples=[[]])


class RulePage(ResponseModel):
    """A page of rules, newest first."""

    items: list[Rule] = Field(description="The rules.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
