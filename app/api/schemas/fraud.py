"""Schemas of the fraud watch."""

from typing import Any, Literal

from pydantic import Field

from app.api.schemas.common import ResponseModel, ShownTime

SuspicionKind = Literal[
    "new_country", "country_surge", "consecutive_numbers", "spend_surge", "high_cost_prefix", "short_calls"
]
COUNTRY = "The country; null: numbers without one, such as short codes and international networks."
OutboundType = Literal["call", "message"]
RULE = {
    "name": "Burst of messages to LV",
    "log_type": "message",
    "severity": "warning",
    "filters": {"direction": ["outbound-api", "outbound-call", "outbound-reply"], "to_country": ["LV"]},
    "pattern_type": "any",
    "condition": {"type": "threshold", "count": 10, "window_minutes": 60},
}


class Suspicion(ResponseModel):
    """Outbound traffic that looks like fraud."""

    kind: SuspicionKind = Field(description="What looks like fraud.", examples=["new_country"])
    log_type: OutboundType = Field(description="The type of the logs.", examples=["message"])
    to_country: str | None = Field(description="The country; null: none, or several.", examples=["LV"])
    prefix: str | None = Field(
        description="What the numbers of the recipients begin with; null: any.", examples=["+37120000"]
    )
    count: int = Field(description="Number of logs; 0 for `spend_surge`.", examples=[120])
    receivers: int | None = Field(description="Number of recipients; null: not counted.", examples=[100])
    amount: str | None = Field(description="For `spend_surge`: the money, as decimal text.", examples=["84.0000"])
    price_unit: str | None = Field(description="The currency of the amount.", examples=["USD"])
    usual: float | None = Field(
        description="Median of the same hours of the weeks before, in logs or money; null: not known, or not compared.",
        examples=[0.0],
    )
    at: ShownTime = Field(description="Start of the hour that rose the most, or time of the newest of the logs.")
    detail: str = Field(
        description="What was found, in a sentence.",
        examples=["120 messages to Latvia (LV), which got none in the 30 days before."],
    )
    advice: str = Field(
        description="How to limit it at Twilio.",
        examples=["Disable the country in Twilio's Messaging geographic permissions."],
    )
    rule: dict[str, Any] = Field(description="The body of a rule that alerts on the same.", examples=[RULE])


class CountryTraffic(ResponseModel):
    """The outbound logs to a country, compared with the same hours of the four weeks before."""

    log_type: OutboundType = Field(description="The type of the logs.", examples=["message"])
    to_country: str | None = Field(description=COUNTRY, examples=["LV"])
    count: int = Field(description="Number of logs.", examples=[120])
    usual: float | None = Field(description="Median of the weeks before; null: none of them is known.", examples=[0.0])
    peak_at: ShownTime | None = Field(description="Start of the hour that rose the most.")
    peak_count: int = Field(description="Number of logs in that hour.", examples=[100])
    peak_usual: float | None = Field(description="Median of that hour in the weeks before.", examples=[0.0])


class HourAmount(ResponseModel):
    """What one hour cost."""

    at: ShownTime = Field(description="Start of the hour.")
    amount: str = Field(description="Total of the absolute prices known so far, as decimal text.", examples=["70.0000"])


class CountrySpend(ResponseModel):
    """What the outbound logs to a country cost, by hour."""

    log_type: OutboundType = Field(description="The type of the logs.", examples=["message"])
    to_country: str | None = Field(description=COUNTRY, examples=["LV"])
    price_unit: str = Field(description="The currency.", examples=["USD"])
    amount: str = Field(description="Total of the span, as decimal text.", examples=["84.0000"])
    usual: str | None = Field(description="Median of the weeks before; null: none is known.", examples=["0.0000"])
    hours: list[HourAmount] = Field(description="The hours that cost something, in order.")


class FraudWatch(ResponseModel):
    """What looks like fraud in a span."""

    since: ShownTime = Field(description="Start of the span.")
    until: ShownTime = Field(description="End of the span.")
    items: list[Suspicion] = Field(description="What looks like fraud, by kind, the largest first.")
    countries: list[CountryTraffic] = Field(description="All countries, the one with the most logs first.")
    spend: list[CountrySpend] = Field(description="The same in money, the largest amount first.")
