"""Schemas of people who sign in with the organization's own provider."""

from pydantic import Field

from app.api.schemas.common import PageQuery, ResponseModel, ShownId, ShownTime
from app.api.schemas.keys import KeySession
from app.enums import Scope
from app.services.console_sessions import MAX_LISTED


class PersonFilters(PageQuery):
    """Filters for people: none, only paging."""


class Person(ResponseModel):
    """A person, as the provider described them at their last sign-in."""

    id: ShownId = Field(description="Its id.")
    name: str = Field(description="The name.", examples=["Ann Lee"])
    address: str | None = Field(
        description="The mail address; null if the provider gives none that is verified.", examples=["ann@example.com"]
    )
    scope: Scope | None = Field(
        description="What the person may do by the settings of now; null if none of their groups has a scope."
    )
    groups: list[str] = Field(
        description="Those of their groups that the settings named at the sign-in.", examples=[["on-call"]]
    )
    signed_in_at: ShownTime = Field(description="When they last signed in.")
    sessions: list[KeySession] = Field(
        description=f"The sessions that are open, the last seen first, at most {MAX_LISTED}."
    )


class PersonPage(ResponseModel):
    """A page of people, the last sign-in first."""

    items: list[Person] = Field(description="The people.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
