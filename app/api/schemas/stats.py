"""Schemas of counts over time."""

from typing import Literal

from pydantic import ConfigDict, Field

from app.api.schemas.breakdown import TO_FINAL, UNTIMED
from app.api.schemas.common import EXAMPLE_TIME, WARNINGS, FieldWarning, ResponseModel, ShownTime
from app.api.schemas.logs import LogQuery
from app.services.logs.stats import StatsField

Bucket = Literal["minute", "hour", "day"]


class StatsQuery(LogQuery):
    """Filters for the logs to count, and the buckets."""

    bucket: Bucket = Field("hour", description="The length of a bucket; the span may contain at most 10,000.")
    by: StatsField | None = Field(None, description="Count each value of this field separately.", examples=["status"])


class DeliveryStatsQuery(LogQuery):
    """Filters for the messages to measure, and the buckets."""

    bucket: Bucket = Field("hour", description="The length of a bucket; the span may contain at most 10,000.")


class StatsItem(ResponseModel):
    """One count."""

    at: ShownTime = Field(description="Start of the bucket, in UTC.")
    value: str | int | None = Field(
        description="The value of the field; `__other__` for values beyond the 100 most frequent.",
        examples=["delivered"],
    )
    count: int = Field(description="How many logs.", examples=[42])


class Stats(ResponseModel):
    """Counts by time bucket and field."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    bucket: Bucket = Field(description="The length of a bucket.")
    by: StatsField | None = Field(description="The field.")
    items: list[StatsItem] = Field(description="In order of time; buckets without logs are omitted.")
    warnings: list[FieldWarning] = Field([], description=f"{WARNINGS} Omitted if there are none.")


class DeliveryStatsItem(ResponseModel):
    """Delivery of the outbound messages of one bucket."""

    at: ShownTime = Field(description="Start of the bucket, in UTC.", examples=[EXAMPLE_TIME])
    final: int = Field(description="Number of final messages.", examples=[200])
    delivered: int = Field(description="Number of delivered messages.", examples=[190])
    delivered_percent: float = Field(description="Share of delivered messages, in percent.", examples=[95.0])
    p50_seconds: float | None = Field(description=f"Median of {TO_FINAL}; {UNTIMED}.", examples=[2.0])
    p95_seconds: float | None = Field(description=f"95th percentile of {TO_FINAL}; {UNTIMED}.", examples=[9.0])


class DeliveryStats(ResponseModel):
    """Share and speed of delivery by time bucket."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    bucket: Bucket = Field(description="The length of a bucket.")
    items: list[DeliveryStatsItem] = Field(description="In order of time; buckets without final messages are omitted.")
    warnings: list[FieldWarning] = Field([], description=f"{WARNINGS} Omitted if there are none.")
