"""Schemas of GiftPulse's own health."""

from typing import Literal

from pydantic import ConfigDict, Field

from app.api.schemas.common import ResponseModel

Status = Literal["ok", "degraded", "down"]


class HealthCheck(ResponseModel):
    """Health of one component."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    status: Status = Field(description="Status of the component.", examples=["ok"])
    detail: str = Field("", description="What was found, and what to do; only with an API key.", examples=["answers"])


class HealthChecks(ResponseModel):
    """Health of each component."""

    database: HealthCheck = Field(description="PostgreSQL.")
    broker: HealthCheck = Field(description="The server that carries the workers' tasks.")
    polling: HealthCheck = Field(description="Polling of Twilio.")
    workers: HealthCheck = Field(description="The workers and the scheduler.")
    deliveries: HealthCheck = Field(description="Pending deliveries.")


class HealthReport(ResponseModel):
    """Health of GiftPulse."""

    status: Status = Field(
        description="`down` if the database is unavailable, `degraded` if another component is not ok.", examples=["ok"]
    )
    checks: HealthChecks = Field(description="Health of each component.")


class Live(ResponseModel):
    """The process is running."""

    status: Literal["ok"] = Field(description="Always `ok`.")
