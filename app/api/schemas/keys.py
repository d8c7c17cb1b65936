"""Schemas of API keys."""

from pydantic import Field, field_validator

from app.api.schemas.common import PageQuery, RequestModel, ResponseModel, ShownId, ShownTime
from app.enums import Scope
from app.services.console_sessions import MAX_LISTED

NAME = "What the key is for."


class KeyFilters(PageQuery):
    """Filters for API keys: none, only paging."""


class KeyBody(RequestModel):
    """An API key to create."""

    name: str = Field(min_length=1, max_length=200, description=NAME, examples=["dashboard"])
    scope: Scope = Field(
        description="What the key allows: `read`, `write` or `admin`; each includes the ones before.", strict=False
    )

    @field_validator("scope", mode="before")
    @classmethod
    def _text_only(cls, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("must be a string")  # noqa: TRY004  # what Pydantic turns into an error of the field
        return value


class Key(ResponseModel):
    """An API key, without the key itself, which is not stored."""

    id: ShownId = Field(description="Its id.")
    name: str = Field(description=NAME, examples=["dashboard"])
    scope: Scope = Field(description="What the key allows.")
    prefix: str = Field(description="The beginning of the key, to recognize it by.", examples=["gp_h3Kd81xZ"])
    created_at: ShownTime = Field(description="When it was created.")
    last_used_at: ShownTime | None = Field(description="When it was last used, to the minute.")


class KeySession(ResponseModel):
    """A person who is signed in to the console by a key."""

    name: str = Field(description="The name that was entered at the sign-in.", examples=["Maria"])
    seen_at: ShownTime = Field(description="When the session was last used, to some minutes.")
    expires_at: ShownTime = Field(description="When it ends if it is not used again.")


class ListedKey(Key):
    """An API key with its sessions of the console."""

    sessions: list[KeySession] = Field(
        description=f"Who is signed in by it, the last seen first, at most {MAX_LISTED}. Revoking the key ends them."
    )


class NewKey(Key):
    """A new API key."""

    key: str = Field(description="The key in clear; it is shown only once.", examples=["gp_h3Kd81xZ_..."])


class KeyPage(ResponseModel):
    """A page of keys, newest first."""

    items: list[ListedKey] = Field(description="The keys.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
