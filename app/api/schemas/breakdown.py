"""Schemas of breakdowns."""

from pydantic import ConfigDict, Field

from app.api.schemas.common import WARNINGS, FieldWarning, ResponseModel, ShownTime
from app.api.schemas.logs import LogQuery
from app.services.logs.cells import BreakdownField

TO_FINAL = "the time from created to final, in seconds, of the messages that were seen in time"
UNTIMED = "null without any"
UNKNOWN = "null: that was not completely read"
OF_MEASURED = "of final outbound messages; null without any"


class BreakdownQuery(LogQuery):
    """Filters for the logs, and the field to break them down by."""

    by: BreakdownField = Field(description="The field.", examples=["to_country"])


class BreakdownItem(ResponseModel):
    """The logs with one value."""

    value: str | int | None = Field(
        description="The value; null: none; `__other__`: all beyond the 1,000 most frequent.", examples=["GB"]
    )
    total: int = Field(description="Number of logs.", examples=[1200])
    final: int = Field(description="Number of final outbound messages among them.", examples=[1000])
    final_before: int | None = Field(description=f"The same in the span before; {UNKNOWN}.", examples=[980])
    delivered_share: float | None = Field(description=f"Share delivered, from 0 to 1, {OF_MEASURED}.", examples=[0.978])
    delivered_share_before: float | None = Field(
        description=f"The same in the span of the same length before; {UNKNOWN}.", examples=[0.981]
    )
    p50_seconds: float | None = Field(description=f"Median of {TO_FINAL}; {UNTIMED}.", examples=[2.0])
    p95_seconds: float | None = Field(description=f"95th percentile of {TO_FINAL}; {UNTIMED}.", examples=[9.0])
    top_error_code: int | None = Field(description="The most frequent error code; null: none.", examples=[30003])
    price: dict[str, str] = Field(
        description="Total of the absolute prices known so far, by unit, as decimal texts.", examples=[{"USD": "9.00"}]
    )
    price_per_delivered: dict[str, str] = Field(
        description="That total per delivered message whose price is known, by unit; empty without any.",
        examples=[{"USD": "0.009202"}],
    )


class Breakdown(ResponseModel):
    """Logs broken down by a field."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    by: BreakdownField = Field(description="The field.")
    since: ShownTime = Field(description="Start of the span.")
    until: ShownTime = Field(description="End of the span.")
    items: list[BreakdownItem] = Field(description="The values, the one with the most logs first.")
    warnings: list[FieldWarning] = Field([], description=f"{WARNINGS} Omitted if there are none.")
