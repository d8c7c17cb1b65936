"""Alerts on the wire."""

from typing import Annotated, Any

from pydantic import Field

from app.api.schemas.common import (
    ACCOUNT_SID,
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
from app.enums import AlertStatus, ResolveReason, Severity
from app.services.alerts.search import AlertFilter


class AlertFilters(PageQuery):
    """Which alerts."""

    status: Annotated[Values, members(AlertStatus)] = Field((), description="Where they stand; several by commas.")
    severity: Annotated[Values, members(Severity)] = Field((), description="How bad they are; several by commas.")
    rule_id: Annotated[Values, CommaList(UUID_PATTERN, "a rule's id", EXAMPLE_ID)] = Field(
        (), description="Of these rules; several by commas."
    )
    account_sid: Annotated[Values, CommaList(ACCOUNT_SID.strip("^$"), "an account's sid", EXAMPLE_ACCOUNT)] = Field(
        (), description="Those with a log of these accounts; several by commas."
    )
    since: TimeOrAge | None = Field(None, description="From this time on, by `started_at`.")
    until: TimeOrAge | None = Field(None, description="Before this time, by `started_at`.")

    def to_filter(self) -> AlertFilter:
        """Return the filter that these parameters name."""
        return AlertFilter(**self.model_dump(exclude={"limit", "cursor"}))


class ErrorMeaning(ResponseModel):
    """What an error code means."""

    code: int = Field(description="Twilio's error code.", examples=[30003])
    message: str = Field(description="Twilio's words for it.", examples=["Unreachable destination handset"])
    cause: str = Field(description="Where the fault likely lies, and what to do.", examples=["The handset is off."])
    docs: str = Field(description="Twilio's page about it.", examples=["https://www.twilio.com/docs/errors/30003"])


class Alert(ResponseModel):
    """One episode of one rule for one group."""

    id: ShownId = Field(description="Its id.")
    rule_id: ShownId | None = Field(description="Its rule; null for a built-in alert.")
    rule_name: str = Field(description="Name of the rule, or what is wrong.", examples=["Failed Call Detection"])
    severity: Severity = Field(description="How bad it is.")
    status: AlertStatus = Field(description="Where it stands.")
    group: dict[str, Any] = Field(
        description="The values that it is about, by the rule's `group_by`.", examples=[{"to_country": "GB"}]
    )
    summary: str = Field(
        description="What happened, in one line.", examples=["12 messages undelivered to GB in 5 minutes"]
    )
    started_at: ShownTime = Field(description="Twilio's time of what made it fire.")
    last_match_at: ShownTime = Field(description="Twilio's time of its newest match.")
    resolved_at: ShownTime | None = Field(description="When it ended; null while it is open.")
    acknowledged_at: ShownTime | None = Field(description="When somebody took it.")
    acknowledged_by: str | None = Field(description="Who took it, or ended it untaken.", examples=["maria"])
    note: str | None = Field(description="What they wrote.", examples=["Carrier is informed."])
    silenced: bool = Field(description="A silence holds its notifications back.", examples=[False])
    occurrences: int = Field(description="How many logs count towards it.", examples=[12])
    value: float | None = Field(
        description="What the condition measured last: a percentage, sum, count or ratio.", examples=[12.0]
    )
    sample_sids: list[str] = Field(description="Sids of some of its logs, newest first.", examples=[[EXAMPLE_MESSAGE]])
    left_out_accounts: list[str] = Field(
        description="Accounts that the rule looks at and that could not be read for an hour when the alert last moved:"
        " nothing waited for them.",
        examples=[[]],
    )
    late: bool = Field(description="It was too old to notify anybody when it was recorded.", examples=[False])
    resolve_reason: ResolveReason | None = Field(description="Why it ended.")
    error: ErrorMeaning | None = Field(description="What the code of its newest match means.")


class AlertDetail(Alert):
    """One alert with its deliveries."""

    deliveries: list[Delivery] = Field(description="What was sent about it, newest first; at most 1000.")


class AlertPage(ResponseModel):
    """A page of alerts, newest first."""

    items: list[Alert] = Field(description="The alerts.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])


class Note(RequestModel):
    """Who does it, and why."""

    by: str | None = Field(
        None, min_length=1, max_length=200, description="Who; default: the name of the key.", examples=["maria"]
    )
    note: str | None = Field(
        None, min_length=1, max_length=10_000, description="A remark to keep.", examples=["Carrier is informed."]
    )
