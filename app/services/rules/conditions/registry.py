"""All conditions, by their types."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import Field

from app.services.rules.conditions.base import MatchCondition
from app.services.rules.conditions.each import Each
from app.services.rules.conditions.new_value import NewValue
from app.services.rules.conditions.no_data import NoData
from app.services.rules.conditions.ratio import Ratio
from app.services.rules.conditions.spike import Spike
from app.services.rules.conditions.stuck import Stuck
from app.services.rules.conditions.sum import Sum
from app.services.rules.conditions.threshold import Threshold

AnyCondition = Each | Threshold | Ratio | NoData | Spike | NewValue | Stuck | Sum
ConditionField = Annotated[AnyCondition, Field(discriminator="type")]
"""The condition of a rule's body."""
CONDITIONS: Mapping[str, type[AnyCondition]] = {
    get_args(each.model_fields["type"].annotation)[0]: each for each in get_args(AnyCondition)
}
CONDITION_TYPES = tuple(CONDITIONS)
MATCH_TYPES = tuple(name for name, each in CONDITIONS.items() if issubclass(each, MatchCondition))
"""After a manual resolve these fire with the next match. The others must first have been false."""


def read_condition(stored: Mapping[str, Any]) -> AnyCondition:
    """Read the condition of a stored rule. It was validated when saved; newer checks do not apply."""
    return CONDITIONS[stored["type"]].model_construct(**stored)
