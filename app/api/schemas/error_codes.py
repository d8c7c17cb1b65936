"""Schemas of Twilio's error codes."""

from typing import Annotated, Literal

from pydantic import Field

from app.api.schemas.common import CommaList, PageQuery, ResponseModel, ShownId, Values


class ErrorCodeFilters(PageQuery):
    """Filters for error codes."""

    code: Annotated[Values, CommaList("[0-9]{1,6}", "an error code", "30003,30005")] = Field(
        (), description="Error code; separate several with commas."
    )


class ErrorCode(ResponseModel):
    """An error code: its meaning, likely cause and next step."""

    code: int = Field(description="Twilio's error code.", examples=[30003])
    message: str = Field(description="Twilio's message for the code.", examples=["Unreachable destination handset"])
    level: str = Field(description="`error` or `warning`, as catalogued.", examples=["error"])
    product: str | None = Field(description="The Twilio product that it belongs to.", examples=["Messaging"])
    family: str = Field(description="The product area of the code's range.", examples=["Messaging"])
    fault: Literal["customer", "carrier", "twilio", "unknown"] = Field(description="Where the cause likely lies.")
    next_step: str = Field(description="What to do.", examples=["Try again later, or by voice."])
    docs: str = Field(
        description="Twilio's page about the code.", examples=["https://www.twilio.com/docs/errors/30003"]
    )


class RuleAboutCode(ResponseModel):
    """A rule about an error code."""

    id: ShownId = Field(description="The rule's id.")
    name: str = Field(description="The rule's name.", examples=["Unreachable handsets"])


class ErrorCodeDetail(ErrorCode):
    """An error code with the rules about it."""

    rules: list[RuleAboutCode] = Field(
        description="The enabled rules whose `error_code` pattern contains the code, by name. "
        "`GET /api/unwatched` also counts rules with other patterns."
    )


class CodeGroup(ResponseModel):
    """A named group of codes, for the `error_code` patterns of rules."""

    name: str = Field(description="As a pattern has it.", examples=["family:messaging-filtering"])
    description: str = Field(description="What it is about.", examples=["Carriers or Twilio filter the message."])
    codes: int = Field(description="Number of codes of the catalogue in it.", examples=[4])


class ErrorCodePage(ResponseModel):
    """A page of codes, highest first."""

    names: list[CodeGroup] = Field(description="The families and faults that patterns of rules may name.")
    items: list[ErrorCode] = Field(description="The codes.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
