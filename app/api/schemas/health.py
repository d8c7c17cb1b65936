"""How GiftPulse itself is, on the wire."""

from typing import Literal

from pydantic import ConfigDict, Field

from app.api.schemas.common import ResponseModel

Status = Literal["ok", "degraded", "down"]


class HealthCheck(ResponseModel):
    """How one part is."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    status: Status = Field(description="How it is.", examples=["ok"])
    detail: str = Field("", description="What is seen, and what to do; only with a key.", examples=["answers"])


class HealthChecks(ResponseModel):
    """How each part is."""

    database: HealthCheck = Field(description="PostgreSQL.")
    broker: HealthCheck = Field(description="The server that wakes the workers.")
    polling: HealthCheck = Field(description="The reading of Twilio.")
    workers: HealthCheck = Field(description="The workers and the scheduler.")
    deliveries: HealthCheck = Field(description="What is owed.")


class HealthReport(ResponseModel):
    """How GiftPulse is."""

    status: Status = Field(
        description="`down` if the database is away, `degraded` if anything else is not well.", examples=["ok"]
    )
    checks: HealthChecks = Field(description="How each part is.")


class Live(ResponseModel):
    """The process lives."""

    status: Literal["ok"] = Field(description="Always `ok`.")
