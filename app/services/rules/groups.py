"""Groups: the combinations of values that a rule counts separately. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from app.enums import OTHER_VALUE
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion

MAX_GROUPS = 500
"""Groups of one rule that are evaluated separately."""
UNGROUPED_KEY = "{}"
"""The group of a rule without `group_by`."""

_ATTRIBUTES = {"from": "from_"}
"""Names of fields that are keywords of Python."""


def field_of(log: LogVersion, field: str) -> str | int | None:
    """Return a field of a log by its name in the API."""
    value: str | int | None = getattr(log, _ATTRIBUTES.get(field, field))
    return value


def group_of(rule: Rule, log: LogVersion) -> dict[str, str | int | None]:
    """Return the group of a log: its values of the fields of `group_by`, in their order.

    Returns: one item per field, None for a missing value, which is a separate group; empty without `group_by`.
    """
    return {field: field_of(log, field) for field in rule.group_by}


def other_group(rule: Rule) -> dict[str, str | int | None]:
    """Return the group of all values beyond the cap."""
    return dict.fromkeys(rule.group_by, OTHER_VALUE)


def group_key(values: Mapping[str, object]) -> str:
    """Serialize a group as JSON with sorted keys, so that equal groups have equal texts."""
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()


def group_values(key: str) -> dict[str, Any]:
    """Parse a group key."""
    values: dict[str, Any] = orjson.loads(key)
    return values


def group_key_of(rule: Rule, log: LogVersion) -> str:
    """Return the group key of a log."""
    return group_key(group_of(rule, log)) if rule.group_by else UNGROUPED_KEY
