"""How to draw a condition's values: limits, unit, and highlighted bars at the limit. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from app.api.console.plots.figure import Series
from app.services.rules.definition import RuleDefinition


class Measure(NamedTuple):
    """The drawn values of a condition."""

    limit: float | None
    """The value at which the condition holds; None: the matches are drawn."""
    unit: str
    name: str
    """The name of the value."""
    resolve_limit: float | None = None
    """The value below which an alert resolves, unless that is the limit."""
    is_below: bool = False
    """The condition holds below the limit."""


def measure_of(rule: RuleDefinition) -> Measure:
    """Return how to draw a rule's condition."""
    condition = rule.condition
    unit, name = condition.value_unit, condition.value_words
    return Measure(condition.limit, unit, name, condition.resolve_limit, condition.holds_below)


def series_of(measure: Measure, values: Sequence[float | None]) -> list[Series]:
    """Split bars at the limit, to highlight those that open an alert. Shares and ratios are curves."""
    limit, below = measure.limit, measure.is_below
    if measure.unit:
        return [Series(measure.name, values, "curve", "curve")]
    if limit is None:
        return [Series("matching", values, "bars-good", "good")]

    def part(*, bad: bool) -> list[float | None]:
        return [
            None if value is None else value if (value < limit if below else value >= limit) == bad else 0
            for value in values
        ]

    return [
        Series(measure.name, part(bad=False), "bars-good", "good"),
        Series("below the limit" if below else "at the limit", part(bad=True), "bars-bad", "bad"),
    ]


def limit_legend(measure: Measure) -> list[tuple[str, str]]:
    """Return the keys of the limits."""
    wanted = (("limit", "limit", measure.limit), ("limit lower", "resolves below", measure.resolve_limit))
    return [(kind, f"{words} {value:,.6g}{measure.unit}") for kind, words, value in wanted if value is not None]
