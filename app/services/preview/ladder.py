"""The ladder of a preview: how many alerts other limits would have opened, from the numbers already read."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from app.errors import InvalidInput
from app.services.rules.rule import Rule

RUNGS = 5
MAX_PERCENT = 100.0
AROUND = (0.3, 0.5, 2.0, 4.0)
BEYOND = (0.2, 0.1, 0.05, 0.02, 8.0, 16.0, 32.0)
"""Further multiples, used if some of those around the limit are impossible: below 1, or above 100%."""


class Rung(NamedTuple):
    """One limit."""

    value: float
    alerts: int


class Ladder(NamedTuple):
    """The alerts at several limits of a rule."""

    field: str
    """Path of the limit in the rule's body."""
    rungs: list[Rung]
    """Lowest limit first; the rule's own is among them."""


def climb(rule: Rule, own: int, count_alerts: Callable[[Rule], int]) -> Ladder | None:
    """Count the alerts at limits around that of the rule.

    Args:
        own: the alerts at the rule's own limit.
        count_alerts: counts the alerts of the rule with another limit.
    Returns: None for conditions without a limit, and if counting takes too long.
    """
    name = rule.condition.limit_field
    if name is None:
        return None
    limit = getattr(rule.condition, name)
    try:
        return Ladder(
            f"condition.{name}",
            [
                Rung(value, own if value == limit else count_alerts(with_limit(rule, name, value)))
                for value in limits_around(name, limit)
            ],
        )
    except InvalidInput:
        return None


def limits_around(name: str, limit: float) -> list[float]:
    """Return five limits, the given one among them, lowest first."""
    found = {limit}
    for multiple in (*AROUND, *BEYOND):
        if len(found) < RUNGS and _is_possible(name, value := _rounded(name, limit * multiple)):
            found.add(value)
    return sorted(found)


def _rounded(name: str, value: float) -> float:
    """Round to two digits, as people choose limits."""
    rounded = float(f"{value:.2g}")
    return round(rounded) if name == "count" else rounded


def _is_possible(name: str, value: float) -> bool:
    """Return whether a rule may have this limit."""
    if name == "percent":
        return 0 < value <= MAX_PERCENT
    return value >= 1 if name in ("count", "factor") else value > 0


def with_limit(rule: Rule, name: str, value: float) -> Rule:
    """Return the rule with another limit. Its resolve limit is lowered to it if necessary."""
    condition, changes = rule.condition, {name: value}
    if condition.resolve_field is not None:
        lower: float | None = getattr(condition, condition.resolve_field)
        if lower is not None:
            changes[condition.resolve_field] = min(lower, value)
    return replace(rule, condition=condition.model_copy(update=changes))
