"""Keys of the API on the wire."""

from pydantic import Field, field_validator

from app.api.schemas.common import PageQuery, RequestModel, ResponseModel, ShownId, ShownTime
from app.enums import Scope

NAME = "What it is for."


class KeyFilters(PageQuery):
    """Which keys: all that are not revoked."""


class KeyBody(RequestModel):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=200, description=NAME, examples=["dashboard"])
    scope: Scope = Field(
        description="What it may do: `read`, `write` or `admin`, each with the ones before.", strict=False
    )

    @field_validator("scope", mode="before")
    @classmethod
    def _text_only(cls, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("must be a text")  # noqa: TRY004  # what Pydantic turns into an error of the field
        return value


class Key(ResponseModel):
    """A key; the key itself nobody can show."""

    id: ShownId = Field(description="Its id.")
    name: str = Field(description=NAME, examples=["dashboard"])
    scope: Scope = Field(description="What it may do.")
    prefix: str = Field(description="The part of it by which it is known again.", examples=["gp_h3Kd81xZ"])
    created_at: ShownTime = Field(description="When it was made.")
    last_used_at: ShownTime | None = Field(description="When it was last used, to the minute.")


class NewKey(Key):
    """A key that was just made."""

    key: str = Field(description="The key in clear: it is shown this once.", examples=["gp_h3Kd81xZ_..."])


class KeyPage(ResponseModel):
    """A page of keys, newest first."""

    items: list[Key] = Field(description="The keys.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
