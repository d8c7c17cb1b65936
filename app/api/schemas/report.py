"""Schemas of reports. `before` is the same figure for the span of the same length before."""

from pydantic import ConfigDict, Field

from app.api.schemas.common import EXAMPLE_ACCOUNT, ResponseModel, ShownId, ShownTime
from app.api.schemas.unwatched import UnwatchedCode
from app.enums import AlertStatus, LogType, Severity

BEFORE = "The same for the span before; null: that was not completely read."
MEDIAN = "median; null: no alert was."


class TypeCount(ResponseModel):
    """The logs of one type."""

    log_type: LogType = Field(description="The type.")
    count: int = Field(description="Number of logs.", examples=[4210])
    before: int | None = Field(description=BEFORE, examples=[3980])


class TrafficStep(ResponseModel):
    """The logs of one hour or day."""

    at: ShownTime = Field(description="Start of the hour or day.")
    count: int = Field(description="Number of logs.", examples=[180])


class Traffic(ResponseModel):
    """How much was sent, received and called."""

    total: int = Field(description="Number of logs.", examples=[4620])
    before: int | None = Field(description=BEFORE, examples=[4300])
    by_type: list[TypeCount] = Field(description="The logs by type, all types.")
    series: list[TrafficStep] = Field(description="The logs over time: by hours up to two days, else by days.")


class Delivered(ResponseModel):
    """What became of outbound messages."""

    final: int = Field(description="Number of final outbound messages.", examples=[4000])
    delivered: int = Field(description="Number of delivered ones among them.", examples=[3912])
    share: float | None = Field(description="Share delivered, from 0 to 1; null: none is final.", examples=[0.978])
    final_before: int | None = Field(description=BEFORE, examples=[3800])
    delivered_before: int | None = Field(description=BEFORE, examples=[3731])
    share_before: float | None = Field(description=BEFORE, examples=[0.9818])


class Amount(ResponseModel):
    """What was paid in one currency."""

    unit: str = Field(description="The currency.", examples=["USD"])
    amount: str = Field(description="Total of the absolute prices known so far, as decimal text.", examples=["31.2075"])
    before: str | None = Field(description=BEFORE, examples=["29.8500"])


class Cost(ResponseModel):
    """What was paid."""

    items: list[Amount] = Field(description="The amounts by currency, the largest first.")


class CodeCount(ResponseModel):
    """One error code."""

    error_code: int = Field(description="Twilio's error code.", examples=[30003])
    log_type: LogType = Field(
        description="The type of logs that has the code most often: a call and the entry of the error log that it "
        "takes its code from count once."
    )
    message: str = Field(description="Twilio's message for the code.", examples=["Unreachable destination handset"])
    fault: str = Field(description="Whose fault it is, as `GET /api/error-codes` says it.", examples=["carrier"])
    next_step: str = Field(description="What to do.", examples=["Try again later."])
    docs: str = Field(description="Twilio's page.", examples=["https://www.twilio.com/docs/errors/30003"])
    count: int = Field(description="Number of logs of this type with the code.", examples=[41])
    before: int | None = Field(description=BEFORE, examples=[38])


class ReportedAlert(ResponseModel):
    """One alert that started in the span."""

    id: ShownId = Field(description="Its id.")
    rule_name: str = Field(description="The name of its rule, or what is wrong.", examples=["Carrier filtering"])
    severity: Severity = Field(description="Its severity.")
    status: AlertStatus = Field(description="Its state now.")
    summary: str = Field(description="What happened.", examples=["12 messages undelivered to GB in 5 minutes"])
    started_at: ShownTime = Field(description="When it started.")
    acknowledged_by: str | None = Field(description="Who acknowledged it.", examples=["Ann"])
    seconds_to_acknowledge: float | None = Field(
        description="From its start to its acknowledgement; null: nobody has acknowledged it.", examples=[240.0]
    )
    seconds_to_resolve: float | None = Field(
        description="From its start to its end; null: it is open.", examples=[1260.0]
    )


class ReportedAlerts(ResponseModel):
    """The alerts that started in the span."""

    total: int = Field(description="Number of alerts.", examples=[5])
    before: int | None = Field(description=BEFORE, examples=[8])
    open: int = Field(description="Those that are open now.", examples=[1])
    acknowledged: int = Field(description="Those that somebody has acknowledged.", examples=[3])
    by_severity: dict[str, int] = Field(
        description="Number of alerts by severity.", examples=[{"critical": 1, "warning": 4, "info": 0}]
    )
    seconds_to_acknowledge: float | None = Field(
        description=f"From start to acknowledgement, {MEDIAN}", examples=[252.0]
    )
    seconds_to_acknowledge_before: float | None = Field(description=BEFORE, examples=[300.0])
    seconds_to_resolve: float | None = Field(description=f"From start to end, {MEDIAN}", examples=[1500.0])
    seconds_to_resolve_before: float | None = Field(description=BEFORE, examples=[None])
    items: list[ReportedAlert] = Field(description="The 10 most severe, the newest first.")


class NoisyRule(ResponseModel):
    """A rule with alerts or notifications in the span."""

    rule_id: ShownId = Field(description="Its id.")
    rule_name: str = Field(description="Its name.", examples=["Failed calls"])
    deleted: bool = Field(description="It was deleted since.", examples=[False])
    alerts: int = Field(description="Number of its alerts that started in the span.", examples=[4])
    acknowledged: int = Field(description="Those that somebody has acknowledged.", examples=[0])
    notifications: int = Field(description="Number of notifications about its alerts, by receiver.", examples=[22])


class QuietRule(ResponseModel):
    """A rule that was enabled over the whole span and matched nothing in it."""

    rule_id: ShownId = Field(description="Its id.")
    rule_name: str = Field(description="Its name.", examples=["Failed calls"])
    last_matched_at: str | None = Field(
        description="When it last matched a log; null: never.",
        examples=[None],
        json_schema_extra={"format": "date-time"},
    )


class ReportedRules(ResponseModel):
    """Rules that may want a change."""

    noisiest: list[NoisyRule] = Field(description="The 10 rules with the most notifications.")
    without_match: list[QuietRule] = Field(
        description="Rules that matched nothing since the span began, though enabled all the time; at most 100."
    )


class NotRead(ResponseModel):
    """A time of a stream that was not read."""

    account_sid: str = Field(description="The account.", examples=[EXAMPLE_ACCOUNT])
    log_type: LogType = Field(description="The stream.")
    since: ShownTime = Field(description="Start of the time.")
    until: ShownTime = Field(description="End of the time.")
    state: str = Field(
        description="`gap`: missing for good; `not_yet`: not read so far.",
        examples=["gap"],
        json_schema_extra={"enum": ["gap", "not_yet"]},
    )


class Report(ResponseModel):
    """What a span brought."""

    model_config = ConfigDict(extra="forbid")

    since: ShownTime = Field(description="Start of the span, inclusive.")
    until: ShownTime = Field(description="End of the span, exclusive.")
    whole: bool = Field(
        description="False: streams are not read up to `until`, or times are missing: figures may be low.",
        examples=[True],
    )
    traffic: Traffic = Field(description="How much was sent, received and called.")
    delivery: Delivered = Field(description="What became of outbound messages.")
    cost: Cost = Field(description="What was paid.")
    error_codes: list[CodeCount] = Field(description="The 10 most frequent error codes.")
    unwatched: list[UnwatchedCode] | None = Field(
        description="Error codes that no enabled rule would match, at most 100; null: too many different logs."
    )
    alerts: ReportedAlerts = Field(description="The alerts that started in the span.")
    rules: ReportedRules = Field(description="Rules that may want a change.")
    not_read: list[NotRead] = Field(
        description="Times that were not read, at most 100; those before an account was watched leave `whole` true."
    )
