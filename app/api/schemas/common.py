"""Parts that all schemas share: times, comma-separated lists, pages."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import core_schema

from app.api import cursors, json_guard
from app.utils.ages import PATTERN as AGE
from app.utils.ages import read_age
from app.utils.calendar_edges import shift
from app.utils.clock import request_time

RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+ -]\d\d:\d\d)")
EXAMPLE_ID = "6f1c2f0e-7f0b-4a6e-9a54-0a3c5a1d2b11"
EXAMPLE_TIME = "2026-11-23T06:09:00Z"
EXAMPLE_ACCOUNT = "AC" + "0" * 31 + "1"
EXAMPLE_MESSAGE = "SM" + "0" * 31 + "1"


JsonSchema = dict[str, Any]
UUID_PATTERN = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


class ResponseModel(BaseModel):
    """Base of response schemas. They document responses, which are not validated at run time."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class RequestModel(BaseModel):
    """Base of request schemas: strict, without unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


def read_time(value: Any) -> datetime:
    """Parse an RFC 3339 time with its offset. In a query, a `+` may arrive as a space."""
    if isinstance(value, datetime):
        return value
    found = RFC3339.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a time in RFC 3339 format with an offset, such as 2026-11-23T06:09:00Z")
    date, clock, fraction, offset = found.groups()
    offset = "+00:00" if offset in "Zz" else offset.replace(" ", "+")
    try:
        return datetime.fromisoformat(f"{date}T{clock}{(fraction or '')[:7]}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time that exists, such as 2026-11-23T06:09:00Z") from None


def read_query_time(value: Any) -> datetime:
    """Parse an RFC 3339 time, or an age such as 7d: that long before now."""
    age = read_age(value) if isinstance(value, str) else None
    if age is None:
        try:
            return read_time(value)
        except ValueError as error:
            raise ValueError(f"{error}, or an age such as 7d, 12h or 90m") from None
    try:
        return request_time() - age
    except OverflowError:
        raise ValueError("must be an age that leads to an existing time, such as 7d") from None


Time = Annotated[datetime, BeforeValidator(read_time), WithJsonSchema({"type": "string", "format": "date-time"})]
TIME_OR_AGE = [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": f"^{AGE}$"}]
TimeOrAge = Annotated[datetime, BeforeValidator(read_query_time), WithJsonSchema({"anyOf": TIME_OR_AGE})]
ShownTime = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time", "examples": [EXAMPLE_TIME]})]
ShownId = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid", "examples": [EXAMPLE_ID]})]


def _one(value: Any) -> str:
    """Return the single text of a query parameter, which FastAPI may pass as a list."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise ValueError("must be given once")  # noqa: TRY004  # Pydantic turns it into a field error
    return value


def whole_number(value: Any) -> int:
    """Parse a whole number of at most 9 digits."""
    if isinstance(value, int):
        return value
    text = _one(value)
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise ValueError("must be a whole number")
    return int(text)


def yes_or_no(value: Any) -> bool:
    """Parse `true` or `false`."""
    if isinstance(value, bool):
        return value
    text = _one(value)
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


WholeNumber = Annotated[int, BeforeValidator(whole_number)]
YesOrNo = Annotated[bool, BeforeValidator(yes_or_no)]


_PLUS = re.compile(r"^ +(?=[0-9])|(?<=,) +(?=[0-9]{7})|(?<=:) +(?=[0-9])")
"""Spaces that were a plus. A space after a comma may also precede a short code, which has at most six digits."""


def restore_plus(text: str) -> str:
    """Restore the plus of phone numbers that were sent unescaped."""
    return _PLUS.sub("+", text)


@dataclass(frozen=True)
class CommaList:
    """Marks a query parameter that accepts several values, separated by commas."""

    pattern: str
    """Pattern of one value, without anchors."""
    wanted: str
    """Description of a value, for errors."""
    example: str
    max_items: int = 100
    check: Callable[[str], str] | None = None
    """Parses one value, if a pattern does not suffice; raises ValueError."""
    of_numbers: bool = False
    """Values may be phone numbers whose plus arrived as a space: `?to=+44...` means a space in HTTP."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._split, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        pattern = f"^({self.pattern})(,({self.pattern})){{0,{self.max_items - 1}}}$"
        return {"type": "string", "pattern": pattern, "examples": [self.example]}

    def _split(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        text = _one(value)
        text = restore_plus(json_guard.trim_list(text)) if self.of_numbers else text
        parts = tuple(part.strip() for part in text.split(","))
        if self.check is not None and len(parts) <= self.max_items:
            return tuple(map(self.check, parts))
        if len(parts) > self.max_items or not all(re.fullmatch(self.pattern, part) for part in parts):
            raise ValueError(f"must be {self.wanted}; separate several with commas, at most {self.max_items}")
        return parts


def members(kind: type[StrEnum]) -> CommaList:
    """Mark a query parameter that accepts several members of an enum."""
    names = [member.value for member in kind]
    return CommaList("|".join(names), f"one of {', '.join(names)}", names[0], len(names))


Values = tuple[str, ...]


class PageQuery(BaseModel):
    """Paging parameters of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: WholeNumber = Field(100, ge=1, le=1000, description="Maximum number of items.")
    cursor: str | None = Field(
        None, pattern=cursors.PATTERN, description="`next_cursor` of the previous page; the filters must stay the same."
    )

    _ages: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_ages(cls, sent: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Keep ages as they were sent: the time that an age means changes with each request."""
        query = handler(sent)
        if isinstance(sent, dict):
            ages = {name: sent.get(name) for name in ("since", "until")}
            kept = {name: age for name, age in ages.items() if isinstance(age, str) and read_age(age)}
            query._ages = kept  # noqa: SLF001  # of this class
        return query

    @property
    def filters(self) -> dict[str, Any]:
        """The filters that the cursor is bound to."""
        return self.model_dump(exclude={"limit", "cursor"}, exclude_defaults=True, mode="json") | self._ages


class SpanQuery(BaseModel):
    """A time span."""

    model_config = ConfigDict(extra="forbid")

    since: TimeOrAge | None = Field(
        None, description="Start of the span, inclusive. The default is in the description of the call."
    )
    until: TimeOrAge | None = Field(None, description="End of the span, exclusive; default: now.")

    def resolve(self, length: timedelta) -> tuple[datetime, datetime]:
        """Return the span, by default of this length."""
        until = self.until or request_time()
        return self.since or shift(until, -length), until


class FieldProblem(ResponseModel):
    """One invalid field."""

    field: str = Field(description="Path in the body, or name of the parameter.", examples=["condition.count"])
    message: str = Field(description="What is wrong with the value.", examples=["must be at least 1"])


class FieldWarning(ResponseModel):
    """One field that was accepted but is possibly a mistake."""

    field: str = Field(description="Path in the body, or name of the parameter.", examples=["pattern_value"])
    message: str = Field(
        description="What looks wrong.", examples=["is not a status that Twilio is known to use; did you mean failed?"]
    )


WARNINGS = "Values that were accepted although no known log can match them: Twilio may add such values."


class Problem(ResponseModel):
    """An error, as an RFC 9457 problem document."""

    type: str = Field(
        description="Stable identifier of the type of error.", examples=["urn:giftpulse:problem:not-found"]
    )
    title: str = Field(description="The name of the status.", examples=["Not Found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="What went wrong, and what to do.", examples=["There is no such rule."])
    request_id: str = Field("", description="The request's id in the server's log.", examples=["5f0c9f3e"])
    errors: list[FieldProblem] = Field([], description="With status 422: all invalid fields.")
