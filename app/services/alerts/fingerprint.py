"""The identity of a group, and of the alert that a rule has for it. Pure."""

from collections.abc import Mapping
from hashlib import blake2b
from uuid import UUID

import orjson

from app.services.rules.types import LogVersion, Rule

OTHER = "__other__"
"""Stands for every field of the group that takes what comes after the first 500 groups of a rule."""

_ATTRIBUTES = {"from": "from_"}
"""Names of `group_by` that are words of Python."""


def group_of(rule: Rule, log: LogVersion) -> dict[str, str | int | None]:
    """Return the group that a log falls into: the fields of `group_by` in their order, as the log has them.

    Returns: one item a field; None for a missing value, which is a group of its own; empty without `group_by`.
    """
    return {field: getattr(log, _ATTRIBUTES.get(field, field)) for field in rule.group_by}


def other_group(rule: Rule) -> dict[str, str | int | None]:
    """Return the group that takes all values beyond the cap."""
    return dict.fromkeys(rule.group_by, OTHER)


def group_key(values: Mapping[str, object]) -> str:
    """Write a group as text, the same for the same values in whatever order: JSON with sorted keys."""
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()


def fingerprint(rule_id: UUID, key: str) -> str:
    """Return the identity of a rule's alert for a group, the same in every process and release.

    Args:    key: the group as `group_key` writes it.
    Returns: 32 hexadecimal digits.
    """
    return blake2b(rule_id.bytes + key.encode(), digest_size=16).hexdigest()
