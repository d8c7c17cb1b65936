"""`stuck`: logs that should be final by now and are not. Pure."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from app.enums import LogType
from app.errors import FieldError
from app.services.rules.conditions.base import MinuteCondition, RulePart
from app.services.rules.conditions.numbers import Numbers, Verdict
from app.services.rules.fields import Count, Window
from app.services.rules.words import AlertFacts, Phrase, RuleFacts, count_of, join
from app.services.twilio.statuses import is_final
from app.utils import quantities


class Stuck(MinuteCondition):
    """Matching logs are older than this and not final."""

    type: Literal["stuck"]
    older_than_minutes: Window
    min_count: Count = 1

    value_title = "How many"
    value_words = "not final"
    value_label = "Stuck now"
    advice = "Twilio has not reported a final state for these. Check them in its Console, and check its status page."
    names_logs = True

    @property
    def limit(self) -> float:
        return float(self.min_count)

    @property
    def min_age(self) -> timedelta:
        """The age from which a log counts as stuck."""
        return timedelta(minutes=self.older_than_minutes)

    def warnings(self, rule: RulePart, settle: timedelta) -> Iterator[FieldError]:
        if set(rule.log_types) == {LogType.ERROR}:
            yield FieldError("condition.type", "entries of the error log are always final: none is ever stuck")
        elif rule.all_statuses(is_final):
            words = "only logs that are not final are stuck, and all these statuses are final"
            yield FieldError("pattern_value", words)
        if self.min_age >= settle:
            hours = int(settle / timedelta(hours=1))
            read_again = f"only scheduled messages are read again for longer than SETTLE_HOURS, {hours} hours"
            yield FieldError("condition.older_than_minutes", f"{read_again} after their sending")

    def judge(self, numbers: Numbers) -> Verdict:
        """Judge one group at one minute; `value` is the number of stuck logs."""
        return Verdict(numbers.stuck >= self.min_count, float(numbers.stuck))

    def measured(self, noun: str) -> str:
        return f"{noun} that were not final at each moment"

    def opens_when(self, rule: RuleFacts) -> Iterator[Phrase]:
        yield Phrase("when at least ")
        yield Phrase(count_of(rule.log_type, self.min_count), strong=True)
        yield from rule.matching
        yield Phrase(f" {'is' if self.min_count == 1 else 'are'} not final ")
        yield Phrase(quantities.window(self.older_than_minutes), strong=True)
        yield Phrase(" after being created.")

    def summarize(self, alert: AlertFacts) -> str:
        count = count_of(alert.log_type, int(alert.value or 0))
        stuck = f"not final after {quantities.window(self.older_than_minutes)}"
        return join(count, alert.subject, alert.group_phrase, stuck)
