"""`threshold`: a number of matches in a window that ends at a match. Pure."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import ValidationInfo, field_validator

from app.services.rules.conditions.base import MatchCondition, check_resolve_limit, within
from app.services.rules.episodes import Point, WindowSaturation
from app.services.rules.fields import Count, Window
from app.services.rules.words import AlertFacts, Phrase, RuleFacts, count_of, join
from app.utils import quantities


class Threshold(MatchCondition):
    """A window contains at least `count` matches."""

    type: Literal["threshold"]
    count: Count
    window_minutes: Window
    resolve_count: Count | None = None

    value_words = "in the window"
    limit_field = "count"
    resolve_field = "resolve_count"

    @field_validator("resolve_count")
    @classmethod
    def _at_most_the_limit(cls, value: int | None, info: ValidationInfo) -> int | None:
        check_resolve_limit(value, info.data.get("count"), "count")
        return value

    @property
    def newest_needed(self) -> int:
        """An alert continues while the latest window contains this many matches."""
        return self.count if self.resolve_count is None else self.resolve_count

    def opens(self, points: Sequence[Point]) -> list[bool]:
        """Return for each match whether the window (at - window, at] that ends at it contains enough.

        Returns: False if all matches in the window count towards an alert already.
        """
        window = self.window
        times = [point.at for point in points]
        answers = []
        left = uncounted = 0
        for index, point in enumerate(points):
            uncounted += not point.counted
            while times[left] <= point.at - window:
                uncounted -= not points[left].counted
                left += 1
            # Matches of the same second are in each other's windows, even those that sort after this one.
            in_window = bisect_right(times, point.at, lo=index) - left
            answers.append(in_window >= self.count and uncounted > 0)
        return answers

    def saturation(self, points: Sequence[Point]) -> WindowSaturation:
        """Return until when windows are too full for the alert to be over.

        Args:    points: sorted, at least the newest `newest_needed` of the group.
        """
        return WindowSaturation([point.at for point in points], self.newest_needed, self.window)

    def measured(self, noun: str) -> str:
        return f"matching {noun}, in {quantities.window(self.window_minutes)} before each moment"

    def opens_when(self, rule: RuleFacts) -> Iterator[Phrase]:
        yield Phrase("when there are at least ")
        yield Phrase(count_of(rule.log_type, self.count), strong=True)
        yield from rule.matching
        yield from within(self.window_minutes)

    def resolves_when(self, resolve_after_minutes: int) -> Iterator[Phrase]:
        yield from super().resolves_when(resolve_after_minutes)
        if self.resolve_count is not None:
            yield Phrase(", if fewer than ")
            yield Phrase(f"{self.resolve_count:,}", strong=True)
            yield Phrase(" are left in the window")

    def summarize(self, alert: AlertFacts) -> str:
        return join(super().summarize(alert), f"(limit {self.count:,} in {quantities.window(self.window_minutes)})")
