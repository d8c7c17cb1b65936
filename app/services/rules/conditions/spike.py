"""`spike`: many more matches in a window than in the windows before it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import Field

from app.enums import ResolveReason
from app.errors import FieldError
from app.services.rules.conditions.base import MinuteCondition, RulePart, shown
from app.services.rules.conditions.numbers import Numbers, OpenAlert, Verdict
from app.services.rules.fields import Count, Window
from app.services.rules.words import AlertFacts, Phrase, RuleFacts, join
from app.utils import quantities

RESOLVE_RATIO = 0.8
"""An alert is over below this share of the value that made it fire."""
NEW_NORMAL_AFTER = timedelta(hours=24)


class Spike(MinuteCondition):
    """`factor` times as many matches as in the median of the windows before."""

    type: Literal["spike"]
    factor: Annotated[float, Field(ge=1, le=1_000_000)] = 3
    window_minutes: Window
    baseline_windows: Annotated[int, Field(ge=1, le=1_000)] = 8
    min_count: Count = 20

    value_unit = "\N{MULTIPLICATION SIGN}"
    value_title = "How much more"
    value_words = "times the usual"
    value_label = "Level"
    advice = "Check in the newest logs what the extra traffic is, and whether it is yours."
    limit_field = "factor"
    counts_first_matches = True

    @property
    def earlier_windows(self) -> int:
        return self.baseline_windows

    @property
    def min_known_windows(self) -> int:
        """Half of the previous windows."""
        return -(-self.baseline_windows // 2)

    def warm_up_span(self, *, grouped: bool) -> timedelta:
        return self.window * (self.baseline_windows + 1)

    def errors(self, rule: RulePart, retention: timedelta) -> Iterator[FieldError]:
        if self.window * self.baseline_windows > retention:
            words = f"times window_minutes must not exceed RETENTION_DAYS ({retention.days} days)"
            yield FieldError("condition.baseline_windows", words)

    def value_text(self, value: float, alert: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]) -> str:
        return f"{quantities.number(value)} {self.value_words}"

    def may_hold(self, numbers: Numbers) -> bool:
        if numbers.window(0).matched < self.min_count:
            return False
        # If some windows are not known, the median of the others may be too low.
        known_whole = self._is_known(numbers, self.baseline_windows)
        return not known_whole or self.judge(numbers).holds is not False

    def judge(self, numbers: Numbers) -> Verdict:
        """Judge one group at one minute.

        Returns: `value` is the ratio to the median, which counts as at least 1. An open alert keeps its baseline.
        """
        frozen = numbers.alert.baseline if numbers.alert else None
        baseline = self.baseline(numbers) if frozen is None else frozen
        if baseline is None:
            return Verdict(None, None)
        matched = numbers.window(0).matched
        value = matched / baseline
        limit = max(float(self.min_count), self.factor * baseline)
        if numbers.alert is None:
            return Verdict(matched >= limit, value, baseline=baseline)
        if matched < RESOLVE_RATIO * limit:
            return Verdict(False, value, baseline=baseline)
        if numbers.at - numbers.alert.started_at >= NEW_NORMAL_AFTER:
            return Verdict(False, value, reason=ResolveReason.NEW_NORMAL, baseline=baseline)
        return Verdict(True, value, baseline=baseline)

    def baseline(self, numbers: Numbers) -> float | None:
        """Return the median of the known windows, at least 1; None if fewer than half of them are known."""
        indexes = range(1, self.baseline_windows + 1)
        known = [numbers.window(index).matched for index in indexes if self._is_known(numbers, index)]
        if len(known) < self.min_known_windows:
            return None
        return max(1.0, float(median(known)))

    def _is_known(self, numbers: Numbers, index: int) -> bool:
        """Return whether the window with this index is completely read."""
        return numbers.known_from is not None and numbers.at - (index + 1) * self.window >= numbers.known_from

    def ends_by(self, alert: OpenAlert) -> datetime:
        return alert.started_at + NEW_NORMAL_AFTER

    def measured(self, noun: str) -> str:
        return f"matching {noun} of {quantities.window(self.window_minutes)} before each moment, against the usual"

    def opens_when(self, rule: RuleFacts) -> Iterator[Phrase]:
        yield Phrase("when there are at least ")
        yield Phrase(f"{quantities.number(self.factor)} times", strong=True)
        yield Phrase(f" as many {rule.plural}")
        yield from rule.matching
        yield Phrase(" as usual within ")
        yield Phrase(quantities.window(self.window_minutes), strong=True)
        yield Phrase(", and at least ")
        yield Phrase(f"{self.min_count:,}", strong=True)
        before = quantities.window(self.window_minutes * self.baseline_windows)
        yield Phrase(f". Usual is the median of the {self.baseline_windows:,} windows before, {before}.")

    def summarize(self, alert: AlertFacts) -> str:
        many = f"{shown(alert.value)} times as many {alert.plural} as usual"
        return join(many, alert.subject, alert.group_phrase, f"in {quantities.window(self.window_minutes)}")
