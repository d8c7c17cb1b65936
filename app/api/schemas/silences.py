"""Schemas of silences."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from app.api.schemas.alerts import Alert
from app.api.schemas.common import (
    WARNINGS,
    FieldWarning,
    PageQuery,
    RequestModel,
    ResponseModel,
    ShownId,
    ShownTime,
    Time,
)
from app.enums import OTHER_VALUE
from app.services.alerts.recurrence import Repeat
from app.services.rules.fields import GROUP_FIELDS

TEST_NUMBER = "+15005550006"
"""Twilio's number for tests: no log has it, so an example with it silences nothing."""
GROUP = "It silences alerts whose group has all these pairs; empty: all alerts of the rule."


def _value(value: Any) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise ValueError("must be a string, a whole number or null")
    return value


# Not a union of types: its errors would contain the types in the path, which the body does not have.
GroupValue = Annotated[
    Any,
    BeforeValidator(_value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}),
]


class SilenceFilters(PageQuery):
    """Filters for silences: none, only paging."""


class SilenceBody(RequestModel):
    """A silence to create."""

    rule_id: UUID | None = Field(None, strict=False, description="The rule; null: every rule.", examples=[None])
    group: dict[str, GroupValue] = Field(
        {}, max_length=len(GROUP_FIELDS), description=GROUP, examples=[{"from": TEST_NUMBER}]
    )
    starts_at: Time | None = Field(None, strict=False, description="Start; default: now.", examples=[None])
    ends_at: Time | None = Field(
        None, strict=False, description="End; must be in the future. Null is allowed only with `repeat`: it never ends."
    )
    repeat: Repeat | None = Field(
        None, description="The local times at which it is active; null: all the time.", examples=[None]
    )
    reason: str = Field("", max_length=10_000, description="Reason.", examples=["The carrier is at work on it."])

    @field_validator("group")
    @classmethod
    def _known(cls, group: dict[str, Any]) -> dict[str, Any]:
        if not set(group) <= set(GROUP_FIELDS):
            raise ValueError(f"must contain only fields that rules group by: {', '.join(GROUP_FIELDS)}")
        for name, value in group.items():
            kind = int if name == "error_code" else str
            if value is not None and value != OTHER_VALUE and not isinstance(value, kind):
                raise ValueError(f"{name} must be a {'number' if kind is int else 'text'} or null, as in groups")
        return group


class RepeatBody(RequestModel):
    """The times at which a silence repeats, by themselves."""

    repeat: Repeat


class Silence(ResponseModel):
    """A period that withholds the notifications of some alerts."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    id: ShownId = Field(description="Its id.")
    rule_id: ShownId | None = Field(description="The rule; null: every rule.")
    group: dict[str, Any] = Field(description=GROUP, examples=[{"to_country": "GB"}])
    starts_at: ShownTime = Field(description="Start.")
    ends_at: ShownTime | None = Field(description="End; null: never.")
    repeat: Repeat | None = Field(
        description="The local times at which it is active; null: all the time.", examples=[None]
    )
    reason: str = Field(description="Reason.", examples=["The carrier is at work on it."])
    created_by: str = Field(description="The API key that created it.", examples=["API_KEY"])
    active: bool = Field(description="Whether it is active now.", examples=[True])
    next_start: ShownTime | None = Field(
        description="When it becomes active next; null: never, or it is active without a break."
    )
    alert_ids: list[ShownId] = Field(description="The open alerts that it silences now.")
    warnings: list[FieldWarning] = Field([], description=f"{WARNINGS} Omitted if there are none.")


class SilencedAlerts(ResponseModel):
    """The open alerts that a silence would match."""

    items: list[Alert] = Field(description="The alerts, newest first.")


class SilencePage(ResponseModel):
    """A page of silences, newest first."""

    items: list[Silence] = Field(description="The silences.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
