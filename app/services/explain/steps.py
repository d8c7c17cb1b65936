"""The parts of an explanation. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.utils.json_types import JsonObject


class Verdict(StrEnum):
    """The result of a rule for a log."""

    TOLD = "told"
    """It counts towards an alert that somebody was or will be notified of."""
    ALERTED = "alerted"
    """It counts towards an alert that nobody was notified of."""
    COUNTED = "counted"
    """It matched, and the condition did not hold."""
    WAITING = "waiting"
    """It matches, but is not completely evaluated yet."""
    TOO_EARLY = "too_early"
    """It changed before the rule began. It matches, or its text was erased."""
    NO_MATCH = "no_match"
    """The pattern does not match it."""
    UNKNOWN = "unknown"
    """Its text was erased, so it is not known whether the pattern matches it."""
    NOT_IN_POPULATION = "not_in_population"
    """The rule does not look at it."""
    DISABLED = "disabled"
    """The rule is disabled and did not match the log before."""


class StepName(StrEnum):
    """The steps, in the order in which a log goes through them."""

    RULE = "rule"
    POPULATION = "population"
    PATTERN = "pattern"
    START = "start"
    EVALUATION = "evaluation"
    GROUP = "group"
    SCHEDULE = "schedule"
    CONDITION = "condition"
    ALERT = "alert"
    LATE = "late"
    SILENCE = "silence"
    DEPENDENCY = "dependency"
    ACKNOWLEDGED = "acknowledged"
    COOLDOWN = "cooldown"
    TOLD = "told"


@dataclass(frozen=True)
class Step:
    """One step, whether the log passed it, and the deciding values."""

    step: StepName
    passed: bool | None
    """None if it is not known, or not yet."""
    detail: str

    def as_json(self) -> JsonObject:
        """Serialize it as the API shows it."""
        return {"step": self.step, "passed": self.passed, "detail": self.detail}


@dataclass(frozen=True)
class Explanation:
    """Why a rule did or did not alert on a log."""

    verdict: Verdict
    steps: Sequence[Step]

    def as_json(self) -> JsonObject:
        """Serialize it as the API shows it."""
        return {"verdict": self.verdict, "steps": [each.as_json() for each in self.steps]}


def moment(at: datetime) -> str:
    """Write a time: `23 Nov 2026, 06:09:00 UTC`."""
    return f"{at:%-d %b %Y, %H:%M:%S} UTC"
