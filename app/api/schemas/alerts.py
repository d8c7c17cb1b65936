"""Schemas of alerts."""

import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator

from app.api.schemas.common import (
    EXAMPLE_ACCOUNT,
    EXAMPLE_ID,
    EXAMPLE_MESSAGE,
    UUID_PATTERN,
    CommaList,
    PageQuery,
    RequestModel,
    ResponseModel,
    ShownId,
    ShownTime,
    TimeOrAge,
    Values,
    members,
)
from app.api.schemas.deliveries import Delivery
from app.enums import AlertStatus, LogType, ResolveReason, Severity
from app.services.alerts.search import AlertFilter
from app.services.findings.traits import TraitField
from app.utils.sids import ACCOUNT_SID

MAX_MINUTES = 44_640
"""31 days, like the longest window of a rule."""
VISIBLE = r"[^\s\u200b\u200c\u200d\u2060\ufeff]"
"""A visible character."""


class AlertFilters(PageQuery):
    """Filters for alerts."""

    status: Annotated[Values, members(AlertStatus)] = Field((), description="Status; separate several with commas.")
    severity: Annotated[Values, members(Severity)] = Field((), description="Severity; separate several with commas.")
    rule_id: Annotated[Values, CommaList(UUID_PATTERN, "a rule's id", EXAMPLE_ID)] = Field(
        (), description="Id of the rule; separate several with commas."
    )
    account_sid: Annotated[Values, CommaList(ACCOUNT_SID.strip("^$"), "an account's sid", EXAMPLE_ACCOUNT)] = Field(
        (), description="Account of any of its logs; separate several with commas."
    )
    since: TimeOrAge | None = Field(None, description="From this time on, by `started_at`.")
    until: TimeOrAge | None = Field(None, description="Before this time, by `started_at`.")

    def to_filter(self) -> AlertFilter:
        """Return the filter that these parameters name."""
        return AlertFilter(**self.model_dump(exclude={"limit", "cursor"}))


class ErrorMeaning(ResponseModel):
    """What an error code means."""

    code: int = Field(description="Twilio's error code.", examples=[30003])
    message: str = Field(description="Twilio's message for the code.", examples=["Unreachable destination handset"])
    cause: str = Field(description="The likely cause, and what to do.", examples=["The handset is off."])
    docs: str = Field(
        description="Twilio's page about the code.", examples=["https://www.twilio.com/docs/errors/30003"]
    )


class Alert(ResponseModel):
    """One episode of one rule for one group."""

    # What has a default may be missing from an answer.
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    id: ShownId = Field(description="Its id.")
    rule_id: ShownId | None = Field(description="Its rule; null for a built-in alert.")
    rule_name: str = Field(
        description="Name of the rule, or of the built-in alert.", examples=["Failed Call Detection"]
    )
    severity: Severity = Field(description="Severity of the alert.")
    status: AlertStatus = Field(description="Status of the alert.")
    group: dict[str, Any] = Field(
        description="The values of the rule's `group_by` fields.", examples=[{"to_country": "GB"}]
    )
    summary: str = Field(
        description="What happened, in one line.", examples=["12 messages undelivered to GB in 5 minutes"]
    )
    started_at: ShownTime = Field(description="Twilio's time of the match or minute that opened it.")
    last_match_at: ShownTime = Field(description="Twilio's time of its newest match.")
    resolved_at: ShownTime | None = Field(description="When it was resolved; null while it is open.")
    acknowledged_at: ShownTime | None = Field(description="When it was acknowledged.")
    acknowledged_by: str | None = Field(
        description="Who acknowledged it, or resolved it without acknowledging.", examples=["maria"]
    )
    acknowledged_until: ShownTime | None = Field(
        description="When it is firing again unless it resolves; null: it stays acknowledged.", examples=[None]
    )
    note: str | None = Field(description="Their note.", examples=["Carrier is informed."])
    silenced: bool = Field(description="Whether a silence withholds its notifications.", examples=[False])
    suppressed_by: ShownId | None = Field(
        description="The alert that suppresses it: an open one in the same account, of a rule that its rule depends "
        "on. Null: nothing does.",
        examples=[None],
    )
    occurrences: int = Field(description="Number of logs that count towards it.", examples=[12])
    value: float | None = Field(
        description="The condition's last measured value: a percentage, sum, count or ratio.", examples=[12.0]
    )
    price_unit: str | None = Field(
        None,
        description="The currency of `value`: only there if a `sum` over `price` found prices in several currencies.",
        examples=["EUR"],
    )
    sample_sids: list[str] = Field(description="Sids of some of its logs, newest first.", examples=[[EXAMPLE_MESSAGE]])
    left_out_accounts: list[str] = Field(
        description="Accounts of the rule that had been unreadable for an hour when the alert last changed:"
        " the rule was evaluated without them.",
        examples=[[]],
    )
    late: bool = Field(
        description="Whether it was too old to send notifications when it was recorded.", examples=[False]
    )
    resolve_reason: ResolveReason | None = Field(description="Why it was resolved.")
    error: ErrorMeaning | None = Field(description="The error code of its newest match.")


class AlertNote(ResponseModel):
    """What a person noted about an alert."""

    at: ShownTime = Field(description="When.")
    by: str = Field(description="Who.", examples=["maria"])
    note: str = Field(description="The note.", examples=["Carrier is informed."])


class ToldNext(ResponseModel):
    """An escalating action that waits before it is notified of an alert."""

    action_id: ShownId = Field(description="The action.")
    name: str = Field(
        description="Its type and receivers, without secrets.", examples=["the email action to ops@example.com"]
    )
    at: ShownTime = Field(description="When it is notified.")


class AlertDetail(Alert):
    """One alert with its notes and deliveries, and the actions that are notified next."""

    notes: list[AlertNote] = Field(description="Notes, oldest first, including those of acknowledging and resolving.")
    told_next: list[ToldNext] = Field(
        description="Actions that are notified if nobody acknowledges the alert, the soonest first; while an "
        "acknowledgement lasts, those that are notified after its end."
    )
    deliveries: list[Delivery] = Field(description="Its deliveries, newest first; at most 1000.")


class SharedTrait(ResponseModel):
    """A value that the alert's logs share more, or less, than the others."""

    field: TraitField = Field(
        description="The field; `hour` is the hour of the day in UTC, 0 to 23.", examples=["link_domain"]
    )
    value: str | int = Field(description="The value.", examples=["bit.ly"])
    share: float = Field(description="Share of the alert's logs that have it, from 0 to 1.", examples=[0.98])
    share_of_others: float = Field(description="Share of the other logs that have it.", examples=[0.11])


class InCommon(ResponseModel):
    """What the logs of an alert have in common, against the others of the same population and span."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    matched: int = Field(description="Number of the alert's logs that were compared, at most 2,000.", examples=[143])
    others: int = Field(description="Number of other logs that were compared, at most 2,000.", examples=[269])
    items: list[SharedTrait] = Field(
        description="The shared values, the widest difference first; at most 50. Empty with fewer than 20 logs on"
        " either side."
    )
    finding: str | None = Field(
        None,
        description="The strongest difference in one sentence: at least 80% of the alert's logs and twice the share of"
        " the others, by more than chance. Omitted if there is none.",
        examples=["98% of them had a link to bit.ly, but only 11% of the others."],
    )
    detail: str | None = Field(
        None, description="Why there are no items, or what is left out. Omitted otherwise.", examples=[None]
    )


class SeriesPoint(ResponseModel):
    """One bucket of the series."""

    at: ShownTime = Field(description="When the bucket begins.")
    value: float | None = Field(
        description="The measured value at the end of the bucket; if a bucket is longer than a window, the value"
        " nearest to the limit that was found in it. Null: not known, or nothing to measure;"
        " matches count as they come.",
        examples=[12.0],
    )
    firing: bool = Field(description="Whether the alert was open in the bucket.", examples=[True])
    known: bool = Field(
        description="Whether the condition could be judged at the end of the bucket: the rule was there, and all logs"
        " up to then were read.",
        examples=[True],
    )


class AwaitedStream(ResponseModel):
    """A stream that could not be read for a while."""

    account_sid: str = Field(description="Its account.", examples=[EXAMPLE_ACCOUNT])
    log_type: LogType = Field(description="Its log type.")
    complete_until: ShownTime | None = Field(description="Everything created up to here was read.")


class AlertSeries(ResponseModel):
    """What the condition of an alert measured over time."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    limit: float | None = Field(
        description="The value at which the condition holds; null for `each` and `new_value`, whose value is the number"
        " of matches in the bucket, and without items if the rule is not known.",
        examples=[10.0],
    )
    items: list[SeriesPoint] = Field(
        description="From three windows before the alert started, but not before the rule, until it was resolved, or"
        " until now; at most 200. Without a window: from `resolve_after_minutes` before."
    )
    waits_for: list[AwaitedStream] = Field(
        description="Streams that must be read before an open alert can resolve, one for each account; after an hour"
        " nothing waits for them any more.",
        examples=[[]],
    )
    detail: str | None = Field(None, description="Why there are no items. Omitted otherwise.", examples=[None])


class AlertPage(ResponseModel):
    """A page of alerts, newest first."""

    items: list[Alert] = Field(description="The alerts.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])


class Note(RequestModel):
    """Who acknowledges or resolves, and an optional note."""

    by: str | None = Field(
        None, min_length=1, max_length=200, description="Who; default: the name of the key.", examples=["maria"]
    )
    note: str | None = Field(
        None,
        min_length=1,
        max_length=10_000,
        description="A note to store with the alert.",
        examples=["Carrier is informed."],
    )


class Acknowledgement(Note):
    """Who acknowledges, an optional note, and for how long."""

    for_minutes: int | None = Field(
        None,
        ge=1,
        le=MAX_MINUTES,
        description="After this many minutes it is firing again unless it resolves; default: it stays acknowledged.",
        examples=[60],
    )


class Unacknowledgement(RequestModel):
    """An empty object."""


class NewNote(RequestModel):
    """A note on an alert."""

    by: str | None = Field(
        None, min_length=1, max_length=200, description="Who; default: the name of the key.", examples=["maria"]
    )
    note: str = Field(
        min_length=1,
        max_length=10_000,
        description="The note.",
        examples=["Carrier is informed."],
        json_schema_extra={"pattern": VISIBLE},
    )

    @field_validator("note")
    @classmethod
    def _check_note(cls, value: str) -> str:
        if not re.search(VISIBLE, value):
            raise ValueError("must not be empty")
        return value
