"""What an explanation is made of. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.utils.json_types import JsonObject


class Verdict(StrEnum):
    """What became of a log under a rule."""

    TOLD = "told"
    """It counts towards an alert that somebody was notified of, or is to be."""
    ALERTED = "alerted"
    """It counts towards an alert that nobody was notified of."""
    COUNTED = "counted"
    """It matched, and the condition did not hold."""
    WAITING = "waiting"
    """It matches, and is not evaluated to the end yet."""
    TOO_EARLY = "too_early"
    """It matches, but changed before the rule began."""
    NO_MATCH = "no_match"
    """The pattern does not match it."""
    NOT_IN_POPULATION = "not_in_population"
    """The rule does not look at it."""
    DISABLED = "disabled"
    """The rule is disabled, and took no such log before."""


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
    """One step, whether the log passed it, and the values that decided."""

    step: StepName
    passed: bool | None
    """None: it cannot be said, or not yet."""
    detail: str


@dataclass(frozen=True)
class Explanation:
    """Why a rule did, or did not, take a log."""

    verdict: Verdict
    steps: Sequence[Step]

    def as_json(self) -> JsonObject:
        """Serialize it as the API shows it."""
        steps = [{"step": each.step, "passed": each.passed, "detail": each.detail} for each in self.steps]
        return {"verdict": self.verdict, "steps": steps}


def moment(at: datetime) -> str:
    """Write a time: `23 Nov 2026, 06:09:00 UTC`."""
    return f"{at:%-d %b %Y, %H:%M:%S} UTC"


def listing(values: Sequence[object], most: int = 5) -> str:
    """Write the first values of a list, and how many there are beyond."""
    shown = ", ".join(map(str, values[:most]))
    return shown + (f" and {len(values) - most} more" if len(values) > most else "")
