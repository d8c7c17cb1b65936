"""Schemas of explanations: why a rule did, or did not, take a log."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.common import EXAMPLE_ID, ResponseModel
from app.services.explain.steps import StepName, Verdict

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


class Explanation(ResponseModel):
    """Why a rule did or did not alert on a log."""

    verdict: Verdict = Field(description=VERDICTS, examples=["counted"])
    steps: list[ExplanationStep] = Field(description="The steps, in the order in which a log goes through them.")
