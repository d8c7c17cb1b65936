"""Schemas of logs."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.api import json_guard
from app.api.schemas.alerts import Alert
from app.api.schemas.common import (
    EXAMPLE_ACCOUNT,
    EXAMPLE_MESSAGE,
    WARNINGS,
    CommaList,
    FieldWarning,
    PageQuery,
    ResponseModel,
    ShownTime,
    TimeOrAge,
    Values,
    YesOrNo,
    members,
    restore_plus,
)
from app.enums import LogSource, LogType
from app.services.logs.search import NONE, LogFilter
from app.services.twilio.vocabulary import DIRECTIONS, country_error
from app.utils.sids import ACCOUNT_SID

DIRECTION = "Twilio's direction: " + "; ".join(
    f"of a {log_type} " + ", ".join(f"`{word}`" for word in words) for log_type, words in DIRECTIONS.items()
)
WORD = "[a-z][a-z0-9-]{0,39}"
ADDRESS = r"[A-Za-z0-9+_.:@*#-]{1,200}"

NUMBER_SENT_PLAIN = re.compile(" [0-9]+")
"""A search text that is a phone number or its beginning, whose plus arrived as a space."""


def _country(text: str) -> str:
    """Parse a country code, in upper or lower case, or `none`."""
    if text == NONE:
        return text
    if error := country_error(text.upper()):
        raise ValueError(error)
    return text.upper()


class LogQuery(BaseModel):
    """Filters for logs."""

    model_config = ConfigDict(extra="forbid")

    log_type: Annotated[Values, members(LogType)] = Field(
        (), description="`call`, `message` or `error`; separate several with commas."
    )
    status: Annotated[Values, CommaList(WORD, "a status of Twilio", "failed,undelivered")] = Field(
        (), description="Twilio's status; separate several with commas."
    )
    error_code: Annotated[Values, CommaList("[0-9]{1,6}", "an error code", "30003,30005")] = Field(
        (), description="Twilio's error code; separate several with commas."
    )
    level: Annotated[
        Values, CommaList("error|warning|notice|debug", "one of error, warning, notice, debug", "error")
    ] = Field((), description="Level of an error-log entry; separate several with commas.")
    direction: Annotated[Values, CommaList(WORD, "a direction of Twilio", "outbound-api")] = Field(
        (), description=f"{DIRECTION}; separate several with commas."
    )
    from_: Annotated[Values, CommaList(ADDRESS, "a number or address", "+14155550100", of_numbers=True)] = Field(
        (),
        alias="from",
        description="The sender, as Twilio formats it (such as a number in E.164); separate several with commas.",
    )
    to: Annotated[Values, CommaList(ADDRESS, "a number or address", "+447700900123", of_numbers=True)] = Field(
        (), description="The recipient, as Twilio formats it; separate several with commas."
    )
    to_country: Annotated[
        Values, CommaList(f"[A-Za-z]{{2}}|{NONE}", "a country in ISO 3166 alpha-2", "GB", check=_country)
    ] = Field(
        (),
        description="Country of the recipient's number, ISO 3166 alpha-2 in any case; `none`: numbers without one, "
        "such as short codes and international networks; separate several with commas.",
    )
    account_sid: Annotated[Values, CommaList("AC[0-9a-f]{32}", "an account's sid", EXAMPLE_ACCOUNT)] = Field(
        (), description="The account; separate several with commas."
    )
    messaging_service_sid: Annotated[
        Values, CommaList(f"MG[0-9a-f]{{32}}|{NONE}", "a messaging service's sid", "MG" + "0" * 32)
    ] = Field((), description="The messaging service; `none`: sent without one; separate several with commas.")
    since: TimeOrAge | None = Field(None, description="From this time on, by `occurred_at`.")
    until: TimeOrAge | None = Field(None, description="Before this time, by `occurred_at`.")
    q: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Text contained in `text`, `error_message`, `from`, `to` or `sid`, in upper or lower case.",
        examples=["carrier"],
    )
    final: YesOrNo | None = Field(None, description="`true`: only logs whose status can no longer change.")

    @field_validator("q")
    @classmethod
    def _check_text(cls, value: str | None) -> str | None:
        if value is None:
            return None
        value = json_guard.trim_direction(value) if json_guard.BIDI_OVERRIDES.search(value) else value
        if error := json_guard.text_error(value):
            raise ValueError(error)
        return restore_plus(value) if NUMBER_SENT_PLAIN.fullmatch(value) else value

    def to_filter(self) -> LogFilter:
        """Return the filter for the search."""
        values: dict[str, Any] = {name: getattr(self, name) for name in LogFilter.__dataclass_fields__}
        return LogFilter(**values | {"error_code": tuple(int(code) for code in self.error_code)})


class LogFilters(LogQuery, PageQuery):
    """Filters and paging for logs."""


class Log(ResponseModel):
    """One call, message or entry of the error log, in its latest known state."""

    sid: str = Field(description="Twilio's sid.", examples=[EXAMPLE_MESSAGE])
    account_sid: str = Field(description="The account it belongs to.", pattern=ACCOUNT_SID, examples=[EXAMPLE_ACCOUNT])
    log_type: LogType = Field(description="The log type.")
    status: str | None = Field(description="Twilio's status; null for an error.", examples=["undelivered"])
    level: str | None = Field(description="For an error: error, warning, notice or debug.", examples=[None])
    direction: str | None = Field(description=f"{DIRECTION}. Null for an error.", examples=["outbound-api"])
    from_: str | None = Field(alias="from", description="The sender.", examples=["+14155550100"])
    to: str | None = Field(description="The recipient.", examples=["+447700900123"])
    to_country: str | None = Field(description="Country of the recipient's number, ISO 3166 alpha-2.", examples=["GB"])
    error_code: int | None = Field(description="Twilio's error code.", examples=[30003])
    error_message: str | None = Field(description="Twilio's message for the code.", examples=["Unreachable"])
    text: str | None = Field(description="Body of a message, or text of an error.", examples=["Your code is 123456"])
    price: str | None = Field(
        description="Twilio's price as a decimal number; it may arrive late.", examples=["-0.0075"]
    )
    price_unit: str | None = Field(description="Currency of the price, ISO 4217.", examples=["USD"])
    duration_seconds: int | None = Field(description="Length of a call, in seconds.", examples=[None])
    segments: int | None = Field(description="Segments of a message.", examples=[1])
    messaging_service_sid: str | None = Field(description="The messaging service it was sent by.", examples=[None])
    resource_sid: str | None = Field(
        description="For an error: the call, message or other resource it is about.", examples=[None]
    )
    occurred_at: ShownTime = Field(description="When Twilio created it.")
    changed_at: ShownTime = Field(description="When it reached its current status and code, by Twilio's clock.")
    final: bool = Field(description="Whether its status can no longer change.", examples=[True])
    first_seen_at: ShownTime = Field(description="When GiftPulse first saw it.")
    source: LogSource = Field(description="How it first arrived.")


class LogPage(ResponseModel):
    """A page of logs, newest first."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    items: list[Log] = Field(description="The logs.")
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=[None])
    warnings: list[FieldWarning] = Field([], description=f"{WARNINGS} Omitted if there are none.")


class LogChange(ResponseModel):
    """One state of a log."""

    changed_at: ShownTime = Field(description="When it reached this state, by Twilio's clock.")
    seen_at: ShownTime = Field(description="When GiftPulse saw it.")
    status: str | None = Field(description="Twilio's status.", examples=["sent"])
    error_code: int | None = Field(description="Twilio's error code.", examples=[None])
    source: LogSource = Field(description="How the change arrived.")


class UnreadableField(ResponseModel):
    """A field of Twilio's record that could not be parsed."""

    field: str = Field(description="Twilio's name of the field.", examples=["price"])
    reason: str = Field(description="What is wrong.", examples=["is not a price"])


class TextEncoding(ResponseModel):
    """The SMS encoding of a text as it is stored. Twilio may replace look-alike characters before sending."""

    name: Literal["GSM-7", "UCS-2"] = Field(description="The encoding.")
    units: int = Field(description="Length in septets of GSM-7, or in UTF-16 code units.", examples=[19])
    segments: int = Field(description="Segments that the text needs.", examples=[1])
    foreign: str = Field(
        description="The first characters that GSM-7 lacks, at most 5: because of them a segment is shorter.",
        examples=[""],
    )


class LogDetail(Log):
    """One log with its history, alerts and related logs."""

    encoding: TextEncoding | None = Field(
        description="The encoding of a message's text; null for other logs, and without a text."
    )
    unreadable: list[UnreadableField] = Field(
        description="Fields of Twilio's record that could not be parsed: null in the log, unchanged in `raw`.",
        examples=[[]],
    )
    raw: dict[str, Any] | None = Field(description="Twilio's own JSON, as last read.")
    history: list[LogChange] = Field(description="The states of the log, oldest first.")
    alerts: list[Alert] = Field(description="The alerts that the log counts towards, newest first.")
    related: list[Log] = Field(
        description="Error-log entries about this log, or the resource this entry is about, oldest first; at most 100."
    )
