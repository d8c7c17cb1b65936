"""Schemas of the settings in effect."""

from pydantic import Field

from app.api.schemas.common import ResponseModel


class Setting(ResponseModel):
    """One setting of this server."""

    name: str = Field(description="Its name in the environment.", examples=["RETENTION_DAYS"])
    value: str | None = Field(
        description="As the environment would have it. Null for a secret, and if it is not set.", examples=["90"]
    )
    is_secret: bool = Field(description="Whether its value is never shown.", examples=[False])
    is_set: bool = Field(description="Whether it has a value, given or by default.", examples=[True])
    origin: str | None = Field(
        description="Where it comes from: `environment`, `.env`, or the `NAME_FILE` that names its file; null: it is "
        "the default.",
        examples=["environment"],
    )


class EffectiveSettings(ResponseModel):
    """All settings in effect."""

    items: list[Setting] = Field(description="The settings, by name.")
