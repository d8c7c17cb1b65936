"""Schemas of previews: what a rule would have done on the stored logs."""

from typing import Any

from pydantic import ConfigDict, Field

from app.api.schemas.common import EXAMPLE_ACCOUNT, WARNINGS, FieldWarning, ResponseModel, ShownTime, TimeOrAge
from app.api.schemas.logs import Log
from app.api.schemas.rules import RuleBody

MATCHES = (
    "Logs that match, by the time that the condition uses. For `each`, `threshold`, `spike` and `new_value` that is "
    "when they reached their state. There can be more matches than logs in the population: some were created before."
)


class PreviewBody(RuleBody):
    """A rule, and the span of stored logs to preview it on."""

    since: TimeOrAge = Field(description="Start of the span, as if the rule had been created then.", examples=["7d"])
    until: TimeOrAge | None = Field(None, description="End of the span; default: now.", examples=[None])
    ladder: bool = Field(False, description="Whether to say, too, what other limits would have done.", examples=[True])
    samples: bool = Field(False, description="Whether to list logs that match or nearly match, too.", examples=[True])


class PreviewAlert(ResponseModel):
    """An alert that the rule would have opened."""

    group: dict[str, Any] = Field(
        description="The values of the rule's `group_by` fields.", examples=[{"to_country": "GB"}]
    )
    started_at: ShownTime = Field(description="When it would have started.")
    resolved_at: ShownTime | None = Field(description="When it would have been resolved; null: still open at the end.")
    occurrences: int = Field(description="Number of logs that count towards it.", examples=[12])
    silenced: bool = Field(
        description="Silences would have covered it completely: no notification would have been sent."
    )
    not_before: ShownTime | None = Field(
        description="For an alert that is open at the end: the earliest time a rule created now could open it. "
        "Null: it was resolved, or the next match opens it."
    )


class PreviewPoint(ResponseModel):
    """One bucket of the series."""

    at: ShownTime = Field(description="When the bucket begins.")
    population: int = Field(description="Logs of the population that Twilio created in the bucket.", examples=[100])
    matches: int = Field(description=MATCHES, examples=[3])
    value: float | None = Field(description="The measured value at the end of the bucket; null: none.", examples=[3.0])
    firing: bool = Field(description="Whether an alert was open in the bucket.", examples=[False])


class PreviewAccount(ResponseModel):
    """An account that keeps part of the span from being evaluated."""

    account_sid: str = Field(description="Its SID.", examples=[EXAMPLE_ACCOUNT])
    friendly_name: str | None = Field(description="Its name, if it has one.", examples=["Production"])


class PreviewWindows(ResponseModel):
    """The windows of a `ratio`: one for each minute and group in which there were logs."""

    count: int = Field(description="Number of windows.", examples=[1440])
    too_small: int = Field(
        description="Windows with fewer logs than `min_total`, which are not evaluated.", examples=[1200]
    )


class LadderRung(ResponseModel):
    """What another limit would have done."""

    value: float = Field(description="The limit.", examples=[3])
    alerts: int = Field(description="Number of alerts that the rule would have opened.", examples=[30])


class Ladder(ResponseModel):
    """What other limits of the rule would have done."""

    field: str = Field(description="Path of the limit in the body.", examples=["condition.count"])
    items: list[LadderRung] = Field(
        description="Five limits, the rule's own among them, lowest first. A limit that alerts resolve at stays, or is "
        "the limit itself if that is lower.",
        examples=[[{"value": 3, "alerts": 30}, {"value": 5, "alerts": 6}, {"value": 10, "alerts": 4}]],
    )


class NearMiss(ResponseModel):
    """A log that nearly matches."""

    log: Log = Field(description="The log.")
    lacks: str = Field(description="Why it does not match.", examples=["its code is 30005, not 30003"])


class Samples(ResponseModel):
    """Logs of the last 7 days that match or nearly match, to help write a pattern."""

    looked_at: int = Field(
        description="The number of newest logs that pass the filters and were checked; at most 400.", examples=[120]
    )
    logs: list[Log] = Field(description="Logs that match, newest first; at most 5.")
    near: list[NearMiss] = Field(
        description="Logs that lack one filter, or have a code near the pattern's or another failed status; at most 3, "
        "each for another reason."
    )


class Preview(ResponseModel):
    """The result of a preview."""

    # What has a default may be missing from an answer.
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    population: int = Field(description="Logs of the population that Twilio created in the span.", examples=[1000])
    matches: int = Field(description=MATCHES, examples=[30])
    alerts: list[PreviewAlert] = Field(
        description="The alerts that the rule would have opened, oldest first; at most 5000."
    )
    series: list[PreviewPoint] = Field(description="The span in about 200 buckets at most, for a plot.")
    known_since: ShownTime | None = Field(
        description="Since when all logs of the rule's population are stored; null: unknown. Earlier times are not "
        "evaluated; a backfill reads further back. An account limits nothing from before it was added, except for a "
        "`spike`, which compares windows."
    )
    limited_since_by: list[PreviewAccount] = Field(
        description="The accounts whose logs are stored only since `known_since`, if that is later than `since`."
    )
    limited_until_by: list[PreviewAccount] = Field(
        description="The accounts that could not be read for a while, so that later times are not evaluated."
    )
    judged_from: ShownTime | None = Field(
        description="The first time of the span at which the condition can be evaluated; null: none."
    )
    judged_until: ShownTime | None = Field(
        description="The last time of the span at which it can be evaluated: logs are read up to here."
    )
    first_judged_at: ShownTime | None = Field(
        description="When a rule created now would first be evaluated. Null for `each`, `threshold` and `new_value`, "
        "which are evaluated at each match."
    )
    windows: PreviewWindows | None = Field(
        description="For a `ratio`: the number of windows, and how many were too small. Null for other conditions."
    )
    warnings: list[FieldWarning] = Field(description=WARNINGS, examples=[[]])
    ladder: Ladder | None = Field(
        None,
        description="Only there if asked for: the number of alerts at other limits, for `threshold`, `ratio`, `spike` "
        "and `sum`. Null for other conditions, and if counting takes too long.",
    )
    samples: Samples | None = Field(
        None,
        description="Only there if asked for: logs of the last 7 days, whatever the span, that match or nearly match. "
        "Null if finding them takes too long.",
    )
