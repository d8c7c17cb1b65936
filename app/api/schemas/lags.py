"""Schemas of how far behind GiftPulse is."""

from pydantic import Field

from app.api.schemas.common import ResponseModel, ShownTime, SpanQuery
from app.api.schemas.stats import Bucket


class LagQuery(SpanQuery):
    """The span and the buckets."""

    bucket: Bucket = Field("hour", description="The length of a bucket.")


class LagSeconds(ResponseModel):
    """The lag of each stage."""

    reading_seconds: float = Field(
        description="Seconds since the time up to which all streams were read: the oldest unread log may be that old.",
        examples=[75.0],
    )
    evaluation_seconds: float = Field(
        description="Seconds that the oldest change has waited to be evaluated.", examples=[0.0]
    )
    delivery_seconds: float = Field(
        description="Seconds since the oldest delivery that waits only for a worker was due.", examples=[0.0]
    )


class LagItem(LagSeconds):
    """The highest lags of one bucket."""

    at: ShownTime = Field(description="Start of the bucket, in UTC.")


class LagReport(ResponseModel):
    """How far behind each stage is and was."""

    now: LagSeconds = Field(description="The lags at this moment.")
    limits: LagSeconds = Field(description="The lags from which on a stage is too far behind.")
    bucket: Bucket = Field(description="The length of a bucket.")
    items: list[LagItem] = Field(description="In order of time; buckets in which nothing was measured are omitted.")
