"""`no_data`: fewer matches in a window than expected. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from app.errors import FieldError
from app.services.rules.conditions.base import MinuteCondition, RulePart, shown, within
from app.services.rules.conditions.numbers import Numbers, Verdict
from app.services.rules.fields import Count, Window
from app.services.rules.schedule import contains_whole, longest_stretch
from app.services.rules.words import NOUNS, AlertFacts, Phrase, RuleFacts, count_of, join, noun
from app.utils import quantities

EXPECTED_FOR = timedelta(days=7)
"""A group that was seen this recently is expected."""


class NoData(MinuteCondition):
    """Fewer than `min_count` matches in a window."""

    type: Literal["no_data"]
    window_minutes: Window
    min_count: Count = 1

    value_words = "in the window"
    advice = "Check that what should send is still sending, and that Twilio's Console shows its traffic."
    counts_versions = True
    holds_below = True

    @property
    def limit(self) -> float:
        return float(self.min_count)

    @property
    def slot_ttl(self) -> timedelta:
        return max(EXPECTED_FOR, 2 * self.window)

    def warm_up_span(self, *, grouped: bool) -> timedelta | None:
        return self.slot_ttl if grouped else None

    def errors(self, rule: RulePart, retention: timedelta) -> Iterator[FieldError]:
        longest = longest_stretch(rule.schedule) if rule.schedule is not None else None
        if longest is not None and self.window > longest:
            minutes = int(longest / timedelta(minutes=1))
            words = f"is longer than the schedule's longest period ({minutes} minutes): the rule could never fire"
            yield FieldError("condition.window_minutes", words)

    def may_fire(self, schedule: Mapping[str, Any] | None, at: datetime) -> bool:
        """Return whether the whole window lies inside the schedule: outside it nothing is expected."""
        return contains_whole(schedule, at - self.window, at)

    def judge(self, numbers: Numbers) -> Verdict:
        """Judge one group at one minute; `value` is the number of matches."""
        matched = numbers.window(0).matched
        return Verdict(matched < self.min_count, float(matched))

    def measured(self, noun: str) -> str:
        return f"matching {noun}, in {quantities.window(self.window_minutes)} before each moment"

    def opens_when(self, rule: RuleFacts) -> Iterator[Phrase]:
        if self.min_count == 1:
            yield Phrase("when there is ")
            yield Phrase(f"no {NOUNS[rule.log_type]}", strong=True)
        else:
            yield Phrase("when there are fewer than ")
            yield Phrase(count_of(rule.log_type, self.min_count), strong=True)
        yield from rule.matching
        yield from within(self.window_minutes)

    def summarize(self, alert: AlertFacts) -> str:
        value = alert.value
        found = "no" if not value else f"only {shown(value)}" if value < self.min_count else shown(value)
        few = f"{found} {noun(alert.log_type, int(value or 0))}"
        return join(few, alert.subject, alert.group_phrase, f"in {quantities.window(self.window_minutes)}")
