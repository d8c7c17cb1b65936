"""Rule packs on the wire."""

from pydantic import Field

from app.api.schemas.common import PageQuery, ResponseModel
from app.api.schemas.rules import RuleBody, RuleDetail


class PackFilters(PageQuery):
    """Which packs: all of them."""


class Pack(ResponseModel):
    """A ready set of rules."""

    name: str = Field(description="Its name.", examples=["delivery"])
    description: str = Field(description="What it watches.", examples=["Messages that do not arrive"])
    rules: list[RuleBody] = Field(description="Its rules, as they would be made.")


class InstalledPack(ResponseModel):
    """A set of rules that was installed."""

    name: str = Field(description="Its name.", examples=["delivery"])
    description: str = Field(description="What it watches.", examples=["Messages that do not arrive"])
    rules: list[RuleDetail] = Field(
        description="The rules that were made; those that were there before stay as they are."
    )


class PackPage(ResponseModel):
    """A page of packs, by name."""

    items: list[Pack] = Field(description="The packs.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
