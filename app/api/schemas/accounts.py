"""Watched accounts on the wire."""

from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from app.api.schemas.common import (
    ACCOUNT_SID,
    EXAMPLE_ACCOUNT,
    PageQuery,
    RequestModel,
    ResponseModel,
    ShownTime,
    TimeOrAge,
)
from app.enums import LogType

NAME = "A name for people; else the one that Twilio knows."
ENABLED = "Whether it is read."
SUBACCOUNTS = "Whether every active subaccount is watched too."
TOKEN = "Its auth token; write-only."  # noqa: S105  # a description
NEXT_TOKEN = "Its secondary auth token while tokens are rotated; write-only. Callbacks may be signed with it already."  # noqa: S105  # a description
SIGNING_KEYS = "Keys of your own that its callbacks may be signed with, by their ids; write-only, replaced whole."
KEY_SID = "The sid of an API key, used instead of the auth token for reading."
KEY_SECRET = "The secret of that key; write-only."  # noqa: S105  # a description
API_URL = "Where its calls and messages are read, of another region or edge; null: `TWILIO_API_BASE_URL`."
MONITOR_URL = "Where its error log is read; null: `TWILIO_MONITOR_BASE_URL`."
KEY_PATTERN = r"^SK[0-9a-fA-F]{32}$"
EXAMPLE_URL = "https://api.dublin.ie1.twilio.com"


def _address(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        port_is_good = False
    bare = port_is_good and not (parts.query or parts.fragment or parts.username)
    if not bare or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as https://api.dublin.ie1.twilio.com")
    return value.rstrip("/")


Address = Annotated[str | None, AfterValidator(_address)]
KeyId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-+.-<>-~]+$")]
"""Without `,` and `=`: a header names it between them."""
Secret = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")]


class AccountFilters(PageQuery):
    """Which accounts: all that are watched."""


class _Fields(RequestModel):
    """What may be set."""

    friendly_name: str | None = Field(None, min_length=1, max_length=200, description=NAME, examples=["Production"])
    enabled: bool = Field(True, description=ENABLED, examples=[False])
    include_subaccounts: bool = Field(False, description=SUBACCOUNTS)
    auth_token: Secret | None = Field(None, description=TOKEN, examples=["0123456789abcdef0123456789abcdef"])
    next_auth_token: Secret | None = Field(None, description=NEXT_TOKEN, examples=[None])
    api_key_sid: str | None = Field(None, pattern=KEY_PATTERN, description=KEY_SID, examples=[None])
    api_key_secret: Secret | None = Field(None, description=KEY_SECRET, examples=[None])
    signing_keys: dict[KeyId, Secret] | None = Field(None, max_length=10, description=SIGNING_KEYS, examples=[None])
    api_base_url: Address = Field(None, max_length=500, description=API_URL, examples=[None])
    monitor_base_url: Address = Field(None, max_length=500, description=MONITOR_URL, examples=[None])

    def given(self) -> dict[str, Any]:
        """Give the fields that were sent."""
        return self.model_dump(exclude_unset=True)


class AccountBody(_Fields):
    """An account to be watched, with `auth_token`, or with `api_key_sid` and `api_key_secret`."""

    sid: str = Field(pattern=ACCOUNT_SID, description="Its sid.", examples=[EXAMPLE_ACCOUNT])


class AccountChanges(_Fields):
    """Those fields of an account that are to change."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must name at least one field")
        return self


class BackfillBody(RequestModel):
    """A span to be read again."""

    since: TimeOrAge = Field(strict=False, description="From when on, by the time of creation.", examples=["1d"])
    until: TimeOrAge | None = Field(None, strict=False, description="Until when; default: now.", examples=[None])


class Gap(ResponseModel):
    """A span that was not read, and that Twilio can no longer tell."""

    since: ShownTime = Field(description="From when on.")
    until: ShownTime = Field(description="Until when.")
    reason: str = Field(description="Why.", examples=["Twilio tells no more"])


class BackfillState(ResponseModel):
    """A span that is being read again."""

    since: ShownTime = Field(description="From when on.")
    until: ShownTime = Field(description="Until when.")
    read_from: ShownTime = Field(description="What came before it is read.")


class StreamState(ResponseModel):
    """How reading one kind of log goes."""

    log_type: LogType = Field(description="The kind of log.")
    complete_from: ShownTime | None = Field(
        description="From here to `complete_until` all is read; a backfill moves it back."
    )
    complete_until: ShownTime | None = Field(description="Everything created up to it has been listed.")
    last_success_at: ShownTime | None = Field(description="When it was last read without trouble.")
    last_error: str | None = Field(description="Why the last poll failed, or why it cannot be read.", examples=[None])
    last_error_at: ShownTime | None = Field(description="When a poll last failed.")
    failures: int = Field(description="Failed polls in a row.", examples=[0])
    unavailable: bool = Field(description="The credentials can never read it; it counts for nothing.")
    rereads_behind: bool = Field(description="The request budget does not reach for all that is due to be read again.")
    coverage_gaps: list[Gap] = Field(description="What is missing for good, the newest first.")
    backfills: list[BackfillState] = Field(description="What is being read again.")


class QuarantinedShown(ResponseModel):
    """A record of odd shape that was set aside."""

    log_type: LogType = Field(description="What it was to be.")
    reason: str = Field(description="Why it is no log.", examples=["the record has no time at all"])
    seen_at: ShownTime = Field(description="When it was last seen.")


class Quarantine(ResponseModel):
    """Records of odd shape that were set aside."""

    last_day: int = Field(description="How many in the last 24 hours.", examples=[0])
    latest: list[QuarantinedShown] = Field(description="The latest of them.")


class Account(ResponseModel):
    """A watched account."""

    sid: str = Field(description="Its sid.", examples=[EXAMPLE_ACCOUNT])
    friendly_name: str | None = Field(description=NAME, examples=["Production"])
    parent_sid: str | None = Field(description="The account whose subaccount it is.", examples=[None])
    enabled: bool = Field(description=ENABLED)
    include_subaccounts: bool = Field(description=SUBACCOUNTS)
    status: str | None = Field(
        description="What Twilio says of it: active, suspended, closed; null: not known.", examples=["active"]
    )
    last_error: str | None = Field(description="Why that could not be asked.", examples=[None])
    from_environment: bool = Field(description="Its credentials are in the environment.")
    api_key_sid: str | None = Field(description=KEY_SID, examples=[None])
    signing_key_ids: list[str] = Field(description="The ids of its `signing_keys`.", examples=[[]])
    api_base_url: str | None = Field(description=API_URL, examples=[EXAMPLE_URL])
    monitor_base_url: str | None = Field(description=MONITOR_URL, examples=[None])
    requests_last_hour: int = Field(description="How many requests to Twilio it cost in the last hour.", examples=[36])
    max_requests_per_minute: int = Field(description="How many it may cost a minute.", examples=[120])
    streams: list[StreamState] = Field(description="How reading each kind of log goes.")
    quarantined: Quarantine = Field(description="Records of odd shape that were set aside.")


class AccountPage(ResponseModel):
    """A page of accounts, newest first."""

    items: list[Account] = Field(description="The accounts.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])


class Queued(ResponseModel):
    """What was asked for will be done."""

    status: str = Field(description="Always `queued`.", examples=["queued"])
