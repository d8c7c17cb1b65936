"""Schemas of deliveries."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.api.schemas.common import (
    EXAMPLE_ID,
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
from app.enums import AttemptOutcome, DeliveryStatus, HoldReason
from app.services.outbox.deliveries import DeliveryFilter


class DeliveryFilters(PageQuery):
    """Filters for deliveries."""

    status: Annotated[Values, members(DeliveryStatus)] = Field((), description="Status; separate several with commas.")
    action_id: Annotated[Values, CommaList(UUID_PATTERN, "an action's id", EXAMPLE_ID)] = Field(
        (), description="Id of the action; separate several with commas."
    )
    alert_id: Annotated[Values, CommaList(UUID_PATTERN, "an alert's id", EXAMPLE_ID)] = Field(
        (), description="Id of the alert; separate several with commas."
    )
    since: TimeOrAge | None = Field(None, description="From this time on, by `created_at`.")
    until: TimeOrAge | None = Field(None, description="Before this time, by `created_at`.")

    def to_filter(self) -> DeliveryFilter:
        """Return the filter that these parameters name."""
        return DeliveryFilter(**self.model_dump(exclude={"limit", "cursor"}))


class Attempt(ResponseModel):
    """One attempt to send a delivery."""

    at: ShownTime = Field(description="When it began.")
    duration_ms: int | None = Field(
        description="How long it took, in milliseconds; null while it runs.", examples=[180]
    )
    outcome: AttemptOutcome = Field(description="How it ended.")
    status_code: int | None = Field(description="HTTP status, or reply code of the mail server.", examples=[200])
    response: str | None = Field(description="The first 1 KiB of the response.", examples=["ok"])
    error: str | None = Field(description="Why it failed.", examples=[None])


class Delivery(ResponseModel):
    """One notification through one action to one receiver."""

    id: ShownId = Field(description="Its id: the `webhook-id` of every attempt.")
    alert_id: ShownId | None = Field(description="The alert it is about; null for a digest, a report or a test.")
    action_id: ShownId = Field(description="The action that sends it.")
    type: str = Field(description="The type of notification.", examples=["alert.firing"])
    recipient: str = Field(description="A mail address, or a URL without its secrets.", examples=["ops@example.com"])
    status: DeliveryStatus = Field(description="Status of the delivery.")
    created_at: ShownTime = Field(description="When it was created.")
    next_attempt_at: ShownTime | None = Field(
        description="When it is attempted next; null once it has ended or while it waits for a digest."
    )
    held_by: HoldReason | None = Field(
        description="What has held it since its bundle ended; null: nothing. If the alert still fires when that ends, "
        "a new delivery replaces it."
    )


class DeliveryDetail(Delivery):
    """One delivery with its attempts."""

    attempts: list[Attempt] = Field(description="All attempts, oldest first.")


class DeliveryContent(ResponseModel):
    """What a delivery sends. It names no secrets: PagerDuty's routing key is added at each attempt."""

    subject: str | None = Field(
        description="Subject of a mail, or title for Apprise; of an alert in a digest, its headline there.",
        examples=["Failed messages: 12 messages undelivered to GB in 5 minutes"],
    )
    text: str | None = Field(
        description="Text of a mail; of an alert in a digest, its summary there.",
        examples=["12 messages undelivered to GB in 5 minutes"],
    )
    html: str | None = Field(
        description="The mail in HTML. It contains texts of strangers: show it only in a sandbox.",
        examples=["<h1>12 messages undelivered to GB in 5 minutes</h1>"],
    )
    body: str | None = Field(description="Payload of a webhook, or text for Apprise.", examples=[None])


class DeliveryPage(ResponseModel):
    """A page of deliveries, newest first."""

    items: list[Delivery] = Field(description="The deliveries.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])


class RetryBody(RequestModel):
    """Which failed deliveries to retry."""

    action_id: UUID = Field(strict=False, description="The action that sends them.", examples=[EXAMPLE_ID])
    since: TimeOrAge = Field(strict=False, description="Only those created from this time on.", examples=["1d"])


class Retried(ResponseModel):
    """How many deliveries are pending again."""

    retried: int = Field(description="Number of deliveries.", examples=[12])


class TestResult(ResponseModel):
    """The result of testing an action."""

    deliveries: list[DeliveryDetail] = Field(description="One delivery per receiver, each with its attempt.")
