"""Schemas of explanations: why a rule did, or did not, take a log."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.common import EXAMPLE_ID, ResponseModel, ShownId
from app.services.explain.steps import StepName, Verdict
from app.services.explain.survey import MAX_RULES

VERDICTS = """The result for the log: `told` (it counts towards an alert that somebody was or will be notified of), \
`alerted` (towards one that nobody was notified of), `counted` (it matched, and the condition did not hold), `waiting` \
(it matches, but is not completely evaluated yet), `too_early` (it changed before the rule started), `no_match`, \
`unknown` (its text was erased, so it is not known whether the pattern matches), `not_in_population`, `disabled`."""


class ExplainQuery(BaseModel):
    """The rule to explain."""

    model_config = ConfigDict(extra="forbid")

    rule_id: UUID = Field(description="Id of the rule.", examples=[EXAMPLE_ID])


class ExplanationStep(ResponseModel):
    """One step, and the values that decided."""

    step: StepName = Field(description="The step.", examples=["pattern"])
    passed: bool | None = Field(description="Whether the log passed it; null: it cannot be said, or not yet.")
    detail: str = Field(
        description="The values that decided, as a sentence.",
        examples=["7 of 10 matches within an hour when it came."],
    )


class RuleOutcome(ResponseModel):
    """What became of a log under one rule."""

    rule_id: ShownId = Field(description="The rule.")
    name: str = Field(description="Its name.", examples=["Failed Call Detection"])
    stopped_by: ExplanationStep | None = Field(
        description="The first step, up to `start`, that the log did not pass; null: the rule takes it."
    )


class RuleOutcomes(ResponseModel):
    """What became of a log under the rules of its type."""

    items: list[RuleOutcome] = Field(
        description=f"The rules that take it first, then those that it came nearest to; at most {MAX_RULES}."
    )


class Explanation(ResponseModel):
    """Why a rule did or did not alert on a log."""

    verdict: Verdict = Field(description=VERDICTS, examples=["counted"])
    steps: list[ExplanationStep] = Field(description="The steps, in the order in which a log goes through them.")
