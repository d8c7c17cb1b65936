"""Schemas of rule packs."""

from pydantic import Field

from app.api.schemas.common import PageQuery, ResponseModel
from app.api.schemas.rules import RuleBody, RuleDetail


class PackFilters(PageQuery):
    """Filters for rule packs: none, only paging."""


class Pack(ResponseModel):
    """A ready-made set of rules."""

    name: str = Field(description="Its name.", examples=["delivery"])
    description: str = Field(description="What it watches.", examples=["Messages that do not arrive"])
    rules: list[RuleBody] = Field(description="Its rules, as they would be created.")


class InstalledPack(ResponseModel):
    """An installed rule pack."""

    name: str = Field(description="Its name.", examples=["delivery"])
    description: str = Field(description="What it watches.", examples=["Messages that do not arrive"])
    rules: list[RuleDetail] = Field(description="The rules that were created. Existing rules are unchanged.")


class PackPage(ResponseModel):
    """A page of packs, by name."""

    items: list[Pack] = Field(description="The packs.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
