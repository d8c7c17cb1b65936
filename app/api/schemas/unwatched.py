"""Schemas of error codes that nobody watches."""

from pydantic import Field

from app.api.schemas.common import ResponseModel, ShownTime
from app.enums import LogType


class UnwatchedCode(ResponseModel):
    """An error code that occurred and that no enabled rule would match."""

    error_code: int = Field(description="Twilio's error code.", examples=[30005])
    message: str = Field(description="Twilio's message for the code.", examples=["Unknown destination handset"])
    count: int = Field(description="Number of logs of this type with the code.", examples=[42])
    last_at: ShownTime = Field(description="When the newest of them was created.")
    log_type: LogType = Field(description="The type of the logs.")
    pack: str | None = Field(description="A rule pack that would match it; null: none would.", examples=["delivery"])


class Unwatched(ResponseModel):
    """Error codes that nobody watches."""

    items: list[UnwatchedCode] = Field(description="The codes, the most frequent first.")
