"""Schemas of watched accounts."""

from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from app.api.schemas.common import (
    EXAMPLE_ACCOUNT,
    FieldWarning,
    PageQuery,
    RequestModel,
    ResponseModel,
    ShownTime,
    TimeOrAge,
)
from app.enums import Coverage, LogType
from app.utils import sids

NAME = "A display name; default: the name at Twilio."
ENABLED = "Whether the account is polled."
SUBACCOUNTS = "Whether all active subaccounts are watched, too."
TOKEN = "Its auth token; write-only."  # noqa: S105  # a description
NEXT_TOKEN = "Its secondary auth token during a rotation; write-only. Callbacks may already be signed with it."  # noqa: S105  # a description
SIGNING_KEYS = "Your own keys that may sign its callbacks, by key id; write-only, replaced as a whole."
KEY_SID = "The sid of an API key, used instead of the auth token for reading."
KEY_SECRET = "The secret of that key; write-only."  # noqa: S105  # a description
API_URL = "Base URL for its calls and messages, for another region or edge; null: `TWILIO_API_BASE_URL`."
MONITOR_URL = "Base URL for its error log; null: `TWILIO_MONITOR_BASE_URL`."
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
        raise ValueError("must be a URL such as https://api.dublin.ie1.twilio.com")
    return value.rstrip("/")


Address = Annotated[str | None, AfterValidator(_address)]
KeyId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-+.-<>-~]+$")]
"""Without `,` and `=`, which delimit it in a header."""
Secret = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")]


class AccountFilters(PageQuery):
    """Filters for accounts: none, only paging."""


class _Fields(RequestModel):
    """The settable fields."""

    friendly_name: str | None = Field(None, min_length=1, max_length=200, description=NAME, examples=["Production"])
    enabled: bool = Field(True, description=ENABLED, examples=[False])
    include_subaccounts: bool = Field(False, description=SUBACCOUNTS)
    auth_token: Secret | None = Field(None, description=TOKEN, examples=["0123456789abcdef0123456789abcdef"])
    next_auth_token: Secret | None = Field(None, description=NEXT_TOKEN, examples=[None])
    api_key_sid: str | None = Field(None, pattern=sids.KEY_SID, description=KEY_SID, examples=[None])
    api_key_secret: Secret | None = Field(None, description=KEY_SECRET, examples=[None])
    signing_keys: dict[KeyId, Secret] | None = Field(None, max_length=10, description=SIGNING_KEYS, examples=[None])
    api_base_url: Address = Field(None, max_length=500, description=API_URL, examples=[None])
    monitor_base_url: Address = Field(None, max_length=500, description=MONITOR_URL, examples=[None])

    def given(self) -> dict[str, Any]:
        """Return the fields that were sent."""
        return self.model_dump(exclude_unset=True)


class AccountBody(_Fields):
    """An account to watch, with `auth_token`, or with `api_key_sid` and `api_key_secret`."""

    sid: str = Field(pattern=sids.ACCOUNT_SID, description="Its sid.", examples=[EXAMPLE_ACCOUNT])


class AccountChanges(_Fields):
    """The fields of an account to update."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must name at least one field")
        return self


class BackfillBody(RequestModel):
    """A time span to read again."""

    since: TimeOrAge = Field(strict=False, description="Start of the span, by the time of creation.", examples=["1d"])
    until: TimeOrAge | None = Field(None, strict=False, description="End of the span; default: now.", examples=[None])


class Gap(ResponseModel):
    """A time span that was not read and that Twilio no longer lists."""

    since: ShownTime = Field(description="Start of the span.")
    until: ShownTime = Field(description="End of the span.")
    reason: str = Field(description="Why it was not read.", examples=["Twilio no longer lists it"])


class BackfillState(ResponseModel):
    """A backfill in progress."""

    since: ShownTime = Field(description="Start of the span.")
    until: ShownTime = Field(description="End of the span.")
    read_from: ShownTime = Field(description="The part before this time has been read.")


class StreamState(ResponseModel):
    """The state of a stream: an account and a log type."""

    log_type: LogType = Field(description="The log type.")
    complete_from: ShownTime | None = Field(
        description="All logs from here to `complete_until` have been read. A backfill moves it back."
    )
    complete_until: ShownTime | None = Field(description="All logs created up to this time have been listed.")
    last_success_at: ShownTime | None = Field(description="When the last successful poll ended.")
    last_error: str | None = Field(
        description="Why the last poll failed, or why the stream cannot be read.", examples=[None]
    )
    last_error_at: ShownTime | None = Field(description="When a poll last failed.")
    failures: int = Field(description="Failed polls in a row.", examples=[0])
    unavailable: bool = Field(description="The credentials have no access to this log type; the stream is ignored.")
    rereads_behind: bool = Field(
        description="The last poll lacked time or requests for a backlog or for rereads that were due."
    )
    coverage_gaps: list[Gap] = Field(description="Spans that are permanently missing, newest first.")
    backfills: list[BackfillState] = Field(description="Backfills in progress.")


class QuarantinedShown(ResponseModel):
    """A malformed record in quarantine."""

    log_type: LogType = Field(description="The log type it was listed as.")
    reason: str = Field(description="Why it could not be stored as a log.", examples=["the record has no time at all"])
    seen_at: ShownTime = Field(description="When it was last seen.")


class Quarantine(ResponseModel):
    """Malformed records in quarantine."""

    last_day: int = Field(description="Number in the last 24 hours.", examples=[0])
    latest: list[QuarantinedShown] = Field(description="The latest records.")


class Account(ResponseModel):
    """A watched account."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    sid: str = Field(description="Its sid.", examples=[EXAMPLE_ACCOUNT])
    friendly_name: str | None = Field(description=NAME, examples=["Production"])
    parent_sid: str | None = Field(description="The parent account, if it is a subaccount.", examples=[None])
    enabled: bool = Field(description=ENABLED)
    include_subaccounts: bool = Field(description=SUBACCOUNTS)
    status: str | None = Field(
        description="The account's status at Twilio: active, suspended or closed; null: unknown.", examples=["active"]
    )
    last_error: str | None = Field(description="Why the status could not be fetched.", examples=[None])
    from_environment: bool = Field(description="Its credentials are in the environment.")
    api_key_sid: str | None = Field(description=KEY_SID, examples=[None])
    has_next_auth_token: bool = Field(description="Whether a `next_auth_token` is stored.", examples=[False])
    signing_key_ids: list[str] = Field(description="The ids of its `signing_keys`.", examples=[[]])
    api_base_url: str | None = Field(description=API_URL, examples=[EXAMPLE_URL])
    monitor_base_url: str | None = Field(description=MONITOR_URL, examples=[None])
    requests_last_hour: int = Field(description="Requests to Twilio for this account in the last hour.", examples=[36])
    max_requests_per_minute: int = Field(
        description="Maximum requests to Twilio per minute for this account.", examples=[120]
    )
    last_callback_at: ShownTime | None = Field(
        description="When the last callback of Twilio's about it arrived; null: none in a day, "
        "or in 36 days if its log is still missing."
    )
    streams: list[StreamState] = Field(description="The state of each stream.")
    quarantined: Quarantine = Field(description="Malformed records in quarantine.")
    warnings: list[FieldWarning] = Field(
        [],
        description="Why the account cannot be read with its new credentials. Omitted if it can, or none are new.",
    )


class AccountPage(ResponseModel):
    """A page of accounts, newest first."""

    items: list[Account] = Field(description="The accounts.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])


class CoverageItem(ResponseModel):
    """A span of a stream in one state."""

    log_type: LogType = Field(description="The log type.")
    since: ShownTime = Field(description="Start of the span.")
    until: ShownTime = Field(description="End of the span.")
    state: Coverage = Field(
        description="`read`: everything created in it was listed; `gap`: it was not read, and Twilio no longer lists"
        " it; `not_yet`: it was not read so far."
    )


class CoverageReport(ResponseModel):
    """What is known of the streams of an account."""

    items: list[CoverageItem] = Field(description="Per stream, in the order of time, without a hole.")


class Queued(ResponseModel):
    """The request is queued."""

    status: str = Field(description="Always `queued`.", examples=["queued"])
