"""The definition of a rule: validates its body and names the faulty fields.

Knows no database session. Error messages never repeat the value that was sent.
"""

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import ErrorDetails

from app.enums import MEANING_FIELDS, PatternType, Severity
from app.errors import FieldError, InvalidInput
from app.services.rules.conditions.each import Each
from app.services.rules.conditions.registry import CONDITION_TYPES, ConditionField
from app.services.rules.fields import GroupField, StrictModel, distinct, refuse
from app.services.rules.pattern_check import pattern_error
from app.utils import validation_messages
from app.utils.json_types import JsonObject
from app.utils.zones import WEEKDAYS, ClockTime, Weekday, ZoneName

MAX_WAIT_MINUTES = 525_600
"""A year."""
MAX_TEXT_LENGTH = 10_000
MAX_LIST_LENGTH = 1_000
MAX_DEPENDENCIES = 100
HEALTH_FIELDS = (
    "first_judged_at",
    "judged_until",
    "last_evaluated_at",
    "last_matched_at",
    "last_error",
    "last_error_at",
    "error_count",
    "cost_ms",
    "groups",
    "groups_capped",
    "left_out_accounts",
    "warnings",
)
"""The fields of a rule's health."""
READ_ONLY_FIELDS = frozenset({"id", "created_at", "updated_at", *HEALTH_FIELDS})
"""Fields that only GiftPulse writes."""


def _storable(text: str) -> str:
    """Refuse what PostgreSQL cannot store."""
    if "\0" in text:
        raise refuse("must not contain a NUL character")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise refuse("must contain only valid Unicode characters")
    return text


def _visible(text: str) -> str:
    if not text.strip():
        raise refuse("must not be blank")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable), AfterValidator(_visible)]
Description = Annotated[str, Field(max_length=MAX_TEXT_LENGTH), AfterValidator(_storable)]
PatternValue = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_LENGTH), AfterValidator(_storable)]
FilterValue = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
FilterValues = Annotated[list[FilterValue], Field(max_length=MAX_LIST_LENGTH), AfterValidator(distinct)]
Country = Annotated[
    FilterValue, AfterValidator(str.upper), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z]{2}$"})
]
"""A country code in any case. `feasibility` checks whether it exists."""
RuleId = Annotated[UUID, Field(strict=False)]


class Filters(StrictModel):
    """The population: the allowed values of each field. An empty list allows all."""

    account_sid: FilterValues = []
    direction: FilterValues = []
    from_: Annotated[FilterValues, Field(alias="from")] = []
    to: FilterValues = []
    to_country: Annotated[list[Country], Field(max_length=MAX_LIST_LENGTH), AfterValidator(distinct)] = []
    messaging_service_sid: FilterValues = []
    level: Annotated[list[Literal["error", "warning", "notice", "debug"]], AfterValidator(distinct)] = []


class Schedule(StrictModel):
    """When the rule may fire, in local time. An `end` at or before `start` is on the next day."""

    timezone: ZoneName
    days: Annotated[list[Weekday], Field(min_length=1), AfterValidator(distinct)] = list(WEEKDAYS)
    start: ClockTime
    end: ClockTime


class RuleDefinition(StrictModel):
    """A rule as a user defines it, with defaults."""

    name: Name
    description: Description = ""
    enabled: bool = True
    severity: Annotated[Severity, Field(strict=False)] = Severity.WARNING
    log_type: Literal["call", "message", "error", "any"]
    filters: Filters = Filters()
    pattern_type: Annotated[PatternType, Field(strict=False)]
    pattern_value: PatternValue | None = None
    condition: ConditionField = Each()
    group_by: Annotated[list[GroupField], AfterValidator(distinct)] = []
    renotify_minutes: Annotated[int, Field(ge=1, le=MAX_WAIT_MINUTES)] | None = 60
    resolve_after_minutes: Annotated[int, Field(ge=0, le=MAX_WAIT_MINUTES)] = 60
    cooldown_minutes: Annotated[int, Field(ge=0, le=MAX_WAIT_MINUTES)] = 10
    schedule: Schedule | None = None
    depends_on: Annotated[list[RuleId], Field(max_length=MAX_DEPENDENCIES), AfterValidator(distinct)] = []

    @field_validator("severity", "pattern_type", mode="before")
    @classmethod
    def _text_only(cls, value: object) -> object:
        if not isinstance(value, str):
            raise refuse("must be a string")
        return value


def parse_rule(body: object) -> RuleDefinition:
    """Read the body of a rule.

    Raises: InvalidInput, each field named by its path.
    """
    try:
        parsed = RuleDefinition.model_validate(body)
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        raise InvalidInput([_field_error(detail) for detail in details]) from None
    if (problem := pattern_error(parsed.pattern_type, parsed.pattern_value)) is not None:
        raise InvalidInput([FieldError("pattern_value", problem)])
    return parsed


def writable(body: object) -> object:
    """Remove the read-only fields from a body, so that a rule that was read can be sent back."""
    if isinstance(body, dict):
        return {name: value for name, value in body.items() if name not in READ_ONLY_FIELDS}
    return body


def merge(definition: RuleDefinition, changes: object) -> RuleDefinition:
    """Update some fields of a rule. Objects are replaced as a whole.

    Raises: InvalidInput.
    """
    if not isinstance(changes, dict):
        raise InvalidInput([FieldError("body", "must be a JSON object")])
    return parse_rule(as_json(definition) | changes)


def from_row(row: object) -> RuleDefinition:
    """Return the definition of a stored rule. It was validated when saved; newer checks do not apply."""
    return RuleDefinition.model_validate({name: getattr(row, name) for name in RuleDefinition.model_fields})


def as_json(definition: RuleDefinition) -> JsonObject:
    """Serialize a definition as a body: with defaults, and filters as they were written.

    A resolve limit is included only if it differs from the limit.
    """
    body = definition.model_dump(mode="json", by_alias=True)
    body["condition"] = definition.condition.model_dump(mode="json", exclude_none=True)
    body["filters"] = definition.filters.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return body


def columns(definition: RuleDefinition) -> JsonObject:
    """Return the columns of `models.Rule` that a definition sets. They are named as in the body."""
    return as_json(definition) | {"depends_on": definition.depends_on}


def meaning_changed(before: RuleDefinition, after: RuleDefinition) -> bool:
    """Return whether an edit changes what the rule does, which restarts it."""
    return any(_meaning(before, name) != _meaning(after, name) for name in MEANING_FIELDS)


def _meaning(definition: RuleDefinition, name: str) -> object:
    if name == "filters":
        return {field: sorted(values) for field, values in definition.filters.model_dump().items()}
    return getattr(definition, name)


def _field_error(detail: ErrorDetails) -> FieldError:
    path = [str(part)[:100].encode(errors="replace").decode() for part in detail["loc"] if not isinstance(part, int)]
    if len(path) > 1 and path[0] == "condition" and path[1] in CONDITION_TYPES:
        del path[1]  # Pydantic adds the condition's type to the path; the body has no such level.
    if detail["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        path.append("type")
    return FieldError(".".join(path) or "body", _sentence(detail))


_SENTENCES: Mapping[str, str] = {
    **validation_messages.SENTENCES,
    "union_tag_invalid": "must be one of " + ", ".join(CONDITION_TYPES),
    "union_tag_not_found": "is required: one of " + ", ".join(CONDITION_TYPES),
    "string_pattern_mismatch": "has the wrong form: write it like {example}",
    "refused": "{message}",
}
_EXAMPLES = {"start": "09:00", "end": "18:00"}


def _sentence(detail: ErrorDetails) -> str:
    """Describe what is wrong and what is expected."""
    item = next((f"item {part + 1} " for part in reversed(detail["loc"]) if isinstance(part, int)), "")
    field = next((part for part in reversed(detail["loc"]) if isinstance(part, str)), "")
    facts = {
        name: f"{value:.16g}" if isinstance(value, float) else value for name, value in detail.get("ctx", {}).items()
    }
    facts["example"] = _EXAMPLES.get(field, "")
    return item + _SENTENCES.get(detail["type"], "cannot be used").format_map(facts)
