"""Counts over time on the wire."""

from typing import Literal

from pydantic import ConfigDict, Field

from app.api.schemas.common import EXAMPLE_TIME, WARNINGS, FieldWarning, ResponseModel, ShownTime
from app.api.schemas.logs import LogQuery

Bucket = Literal["minute", "hour", "day"]
By = Literal[
    "log_type",
    "status",
    "error_code",
    "level",
    "direction",
    "from",
    "to_country",
    "messaging_service_sid",
    "account_sid",
]


class StatsQuery(LogQuery):
    """What to count: the filters of logs, and how to cut the time."""

    bucket: Bucket = Field("hour", description="The length of a bucket; at most 10,000 of them lie in the span.")
    by: By | None = Field(None, description="Count each value of this field apart.", examples=["status"])


class DeliveryStatsQuery(LogQuery):
    """Which messages to measure: the filters of logs, and how to cut the time."""

    bucket: Bucket = Field("hour", description="The length of a bucket; at most 10,000 of them lie in the span.")


class StatsItem(ResponseModel):
    """One count."""

    at: ShownTime = Field(description="When the bucket begins, in UTC.")
    value: str | int | None = Field(
        description="The value of the field; `__other__` for those beyond the 100 most frequent.",
        examples=["delivered"],
    )
    count: int = Field(description="How many logs.", examples=[42])


class Stats(ResponseModel):
    """Counts by time bucket and field."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    bucket: Bucket = Field(description="The length of a bucket.")
    by: By | None = Field(description="The field.")
    items: list[StatsItem] = Field(description="In order of time; buckets without logs are left out.")
    warnings: list[FieldWarning] = Field([], description=f"{WARNINGS} Left out where there is none.")


class DeliveryStatsItem(ResponseModel):
    """How the outbound messages of one bucket fared."""

    at: ShownTime = Field(description="When the bucket begins, in UTC.", examples=[EXAMPLE_TIME])
    final: int = Field(description="Messages that are final.", examples=[200])
    delivered: int = Field(description="Those that were delivered.", examples=[190])
    delivered_percent: float = Field(description="Their share, in percent.", examples=[95.0])
    p50_seconds: float = Field(description="Half of them were final after so many seconds or fewer.", examples=[2.0])
    p95_seconds: float = Field(description="95 of 100 were final after so many seconds or fewer.", examples=[9.0])


class DeliveryStats(ResponseModel):
    """Share and speed of delivery by time bucket."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    bucket: Bucket = Field(description="The length of a bucket.")
    items: list[DeliveryStatsItem] = Field(description="In order of time; buckets without final messages are left out.")
    warnings: list[FieldWarning] = Field([], description=f"{WARNINGS} Left out where there is none.")
