"""Schemas of actions. The service parses the bodies; these models only document them."""

from typing import Any, Literal

from pydantic import Field

from app.api.schemas.common import PageQuery, RequestModel, ResponseModel, ShownId, ShownTime
from app.enums import ActionType, Severity
from app.services.outbox.actions import MAX_AFTER_MINUTES, MAX_BUNDLE_SECONDS
from app.utils.zones import CLOCK_TIME, Weekday

CONFIG = (
    "`email`: `recipients`, optional `subject` (a Jinja2 template) and `template`. `webhook`: `url`, optional "
    "`method`, `headers`, `secret`, and `format` or `body` (a Jinja2 template that renders JSON). `apprise`: `urls`."
)
EMAIL = {"recipients": ["ops@example.com"], "subject": "Twilio Alert", "template": "error_notification"}
AFTER_MINUTES = (
    "It is notified only of alerts that still fire and that nobody has acknowledged this many minutes after their "
    "firing was notified; 0: immediately."
)
BUNDLE_SECONDS = (
    "Firings within this many seconds of the first are sent together, as `alert.digest`; 0: separately. PagerDuty gets "
    "each alert separately."
)
On = Literal["firing", "update", "resolved"]
ON: list[On] = ["firing", "update", "resolved"]


ZONE = "A time zone of the IANA database."
REPORT = "How often and when it gets a report; null: never. Only for `email` and `webhook`, except `pagerduty`."
REPORT_EXAMPLE = {"every": "week", "weekday": "mon", "at": "08:00", "timezone": "Europe/Berlin"}


class ReportSchedule(RequestModel):
    """When an action gets its reports. Each ends when it is due, and begins when the one before was due."""

    every: Literal["day", "week"] = Field(description="How often.", examples=["week"])
    weekday: Weekday = Field("mon", description="On which day; only for `week`.")
    at: str = Field("08:00", pattern=CLOCK_TIME, description="At which local time.", examples=["08:00"])
    timezone: str = Field("UTC", description=ZONE, examples=["Europe/Berlin"])


class ActionFilters(PageQuery):
    """Filters for actions: none, only paging."""


class ActionBody(RequestModel):
    """An action to create, or to replace one with."""

    rule_id: ShownId | None = Field(
        None, description="The rule that it belongs to; null: all rules and the built-in alerts.", examples=[None]
    )
    action_type: ActionType = Field(description="The type of action.", examples=["email"])
    enabled: bool = Field(True, description="A disabled action gets no notifications.", examples=[False])
    min_severity: Severity = Field(Severity.INFO, description="Alerts below this severity send no notification.")
    notify_on: list[On] = Field(
        ON,
        min_length=1,
        max_length=3,
        description="The notifications that it gets, each once.",
        json_schema_extra={"uniqueItems": True},
    )
    after_minutes: int = Field(
        0,
        ge=0,
        le=MAX_AFTER_MINUTES,
        description=AFTER_MINUTES,
        examples=[0],
    )
    bundle_seconds: int = Field(
        0,
        ge=0,
        le=MAX_BUNDLE_SECONDS,
        description=BUNDLE_SECONDS,
        examples=[0],
    )
    config: dict[str, Any] = Field(description=CONFIG, examples=[EMAIL])
    report: ReportSchedule | None = Field(None, description=REPORT, examples=[REPORT_EXAMPLE])


class Action(ResponseModel):
    """Where notifications go."""

    id: ShownId = Field(description="Its id.")
    rule_id: ShownId | None = Field(description="The rule that it belongs to; null: all rules and the built-in alerts.")
    action_type: ActionType = Field(description="The type of action.")
    enabled: bool = Field(description="A disabled action gets no notifications.", examples=[True])
    min_severity: Severity = Field(description="Alerts below this severity send no notification.")
    notify_on: list[On] = Field(description="The notifications that it gets.", examples=[ON])
    after_minutes: int = Field(
        description=AFTER_MINUTES,
        examples=[0],
    )
    bundle_seconds: int = Field(
        description=BUNDLE_SECONDS,
        examples=[0],
    )
    config: dict[str, Any] = Field(description=CONFIG + " Secrets are masked.", examples=[EMAIL])
    report: ReportSchedule | None = Field(description=REPORT, examples=[REPORT_EXAMPLE])
    disabled_reason: str | None = Field(
        description="Why GiftPulse disabled it, for example because its receiver returned 410.", examples=[None]
    )
    created_at: ShownTime = Field(description="When it was created.")
    updated_at: ShownTime = Field(description="When it was last edited.")


class ActionPage(ResponseModel):
    """A page of actions, newest first."""

    items: list[Action] = Field(description="The actions.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
