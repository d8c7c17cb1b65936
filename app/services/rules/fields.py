"""Types of the fields of a rule's body, shared by the definition and the conditions. Pure.

Error messages never repeat the value that was sent.
"""

from typing import Annotated, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

MAX_WINDOW_MINUTES = 44_640
"""31 days."""

GroupField = Literal[
    "account_sid",
    "from",
    "to",
    "to_country",
    "error_code",
    "status",
    "direction",
    "messaging_service_sid",
    "price_unit",
]
GROUP_FIELDS: tuple[str, ...] = get_args(GroupField)
"""The fields that rules can group by and `new_value` can watch."""
Value = TypeVar("Value")
Window = Annotated[int, Field(ge=1, le=MAX_WINDOW_MINUTES)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class StrictModel(BaseModel):
    """An object in a rule's body: no unknown fields, and no conversion (true is no number)."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def distinct(values: list[Value]) -> list[Value]:
    """Refuse a list that contains a value twice."""
    if len(set(values)) != len(values):
        raise refuse("must not contain a value twice")
    return values


def refuse(message: str) -> PydanticCustomError:
    """Create the error of a field."""
    return PydanticCustomError("refused", "{message}", {"message": message})
