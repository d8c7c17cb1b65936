"""`new_value`: a match has a value that no match had in the lookback. Pure.

Known values are stored as runs: matches that follow each other within the lookback. Runs do not depend on the order in
which matches arrive.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from app.errors import FieldError
from app.services.rules.conditions.base import MatchCondition, RulePart
from app.services.rules.episodes import Point
from app.services.rules.fields import GroupField
from app.services.rules.words import NEW_VALUE_NAMES, AlertFacts, Phrase, RuleFacts, article, join
from app.services.twilio.vocabulary import field_warning


class ValueRun(NamedTuple):
    """Matches with one value, none further from the next than the lookback."""

    since_at: datetime
    """The time of the first match, at which the value was new."""
    last_at: datetime


class NewValue(MatchCondition):
    """A match has a value that none had in the lookback."""

    type: Literal["new_value"]
    field: GroupField
    lookback_days: Annotated[int, Field(ge=1, le=365)] = 30

    advice = "Check whether the new value is expected. If it is, acknowledge the alert."

    @property
    def watched_field(self) -> str:
        return self.field

    @property
    def lookback(self) -> timedelta:
        return timedelta(days=self.lookback_days)

    def warm_up_span(self, *, grouped: bool) -> timedelta:
        return self.lookback

    def warnings(self, rule: RulePart, settle: timedelta) -> Iterator[FieldError]:
        if (why := field_warning(self.field, rule.log_types)) is not None:
            yield FieldError("condition.field", why)

    def facts(self, alert: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
        """Describe what it measured, and list the new values of the newest logs, oldest first."""
        yield from super().facts(alert, logs)
        values = dict.fromkeys(str(log[self.field]) for log in reversed(logs) if log[self.field])
        yield "Values", ", ".join(values) or "none"

    def opens(self, points: Sequence[Point]) -> list[bool]:
        """Return for each match whether it has a new value."""
        return [point.new_value is not None and not point.counted for point in points]

    def opens_when(self, rule: RuleFacts) -> Iterator[Phrase]:
        yield Phrase("when ")
        yield rule.one
        yield from rule.matching
        yield Phrase(" has ")
        yield Phrase(article(NEW_VALUE_NAMES[self.field]), strong=True)
        yield Phrase(" that none had in the ")
        yield Phrase("day" if self.lookback_days == 1 else f"{self.lookback_days} days", strong=True)
        yield Phrase(" before.")

    def summarize(self, alert: AlertFacts) -> str:
        return join(f"new {NEW_VALUE_NAMES[self.field]} in", super().summarize(alert))


def is_new(runs: Sequence[ValueRun], at: datetime, lookback: timedelta) -> bool:
    """Return whether no match in the lookback before this moment had the value."""
    return not any(run.since_at < at <= run.last_at + lookback for run in runs)


def add_run(runs: Sequence[ValueRun], added: ValueRun, lookback: timedelta) -> list[ValueRun]:
    """Add a run, which may connect others; return all, oldest first."""
    near = [
        run for run in runs if run.since_at - lookback <= added.last_at and added.since_at <= run.last_at + lookback
    ]
    joined = ValueRun(min(run.since_at for run in [added, *near]), max(run.last_at for run in [added, *near]))
    return [joined] if len(near) == len(runs) else sorted([joined, *(run for run in runs if run not in near)])
