"""`ratio`: the share of the final logs of a window that match. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from app.enums import ResolveReason
from app.errors import FieldError
from app.services.rules.conditions.base import MinuteCondition, RulePart, VersionCounts, check_resolve_limit, shown
from app.services.rules.conditions.numbers import Numbers, OpenAlert, Verdict
from app.services.rules.fields import MAX_WINDOW_MINUTES, Count, Window
from app.services.rules.types import LogVersion
from app.services.rules.words import AlertFacts, Phrase, RuleFacts, count_of, join
from app.services.twilio.statuses import is_final
from app.utils import quantities

Percent = Annotated[float, Field(gt=0, le=100)]


class Ratio(MinuteCondition):
    """At least `percent` of the final logs of a window match."""

    type: Literal["ratio"]
    percent: Percent
    window_minutes: Window
    min_total: Count = 50
    settle_minutes: Annotated[int, Field(ge=0, le=MAX_WINDOW_MINUTES)] = 10
    resolve_percent: Percent | None = None

    value_title = "What share"
    value_unit = "%"
    value_label = "Share"
    limit_field = "percent"
    resolve_field = "resolve_percent"
    counts_versions = True
    counts_final = True

    @field_validator("resolve_percent")
    @classmethod
    def _at_most_the_limit(cls, value: float | None, info: ValidationInfo) -> float | None:
        check_resolve_limit(value, info.data.get("percent"), "percent")
        return value

    @property
    def settle_delay(self) -> timedelta:
        return timedelta(minutes=self.settle_minutes)

    @property
    def min_window_total(self) -> int:
        return self.min_total

    @property
    def resolves_below(self) -> float:
        """An alert continues while the latest window has this share of matches."""
        return self.percent if self.resolve_percent is None else self.resolve_percent

    def warnings(self, rule: RulePart, settle: timedelta) -> Iterator[FieldError]:
        if rule.all_statuses(lambda log_type, status: not is_final(log_type, status)):
            yield FieldError("pattern_value", "a ratio counts final logs alone, and none of these statuses is final")

    def count_version(self, log: LogVersion, matches: bool) -> VersionCounts:
        return VersionCounts(int(log.final), int(log.final and matches))

    def value_text(self, value: float, alert: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]) -> str:
        return f"{quantities.number(value)}%"

    def may_hold(self, numbers: Numbers) -> bool:
        return numbers.window(0).total >= self.min_total

    def judge(self, numbers: Numbers) -> Verdict:
        """Judge one group at one minute, by the final logs created in the window.

        Returns: `value` is the percentage. With too few logs neither is known, until that has lasted for two windows.
        """
        total, matched = numbers.window(0)
        percent = 100 * matched / total if total else None
        if total >= self.min_total and percent is not None:
            return Verdict(percent >= (self.resolves_below if numbers.was_holding else self.percent), percent)
        since = (numbers.alert.insufficient_since if numbers.alert else None) or numbers.at
        if numbers.at - since >= 2 * self.window:
            return Verdict(False, percent, reason=ResolveReason.INSUFFICIENT_DATA)
        return Verdict(None, percent, insufficient_since=since)

    def ends_by(self, alert: OpenAlert) -> datetime | None:
        return None if alert.insufficient_since is None else alert.insufficient_since + 2 * self.window

    def measured(self, noun: str) -> str:
        return f"of the final {noun} of {quantities.window(self.window_minutes)} before each moment"

    def opens_when(self, rule: RuleFacts) -> Iterator[Phrase]:
        yield Phrase("when at least ")
        yield Phrase(f"{quantities.number(self.percent)}%", strong=True)
        yield Phrase(f" of the {rule.plural}")
        yield from rule.filters
        yield Phrase(" of ")
        yield Phrase(quantities.window(self.window_minutes), strong=True)
        verb, value = rule.pattern(("have ", "are ", "contain ", "fit ", "satisfy "))
        yield Phrase(f" {verb}")
        yield Phrase(value or "match", strong=bool(value))
        settle = f" {quantities.window(self.settle_minutes)} after its end" if self.settle_minutes else ""
        yield Phrase(
            f". Only final ones count; a window is judged{settle}, unless it has fewer than {self.min_total:,}."
        )

    def resolves_when(self, resolve_after_minutes: int) -> Iterator[Phrase]:
        if self.resolve_percent is None:
            yield from super().resolves_when(resolve_after_minutes)
        else:
            yield Phrase("as soon as it is below ")
            yield Phrase(f"{quantities.number(self.resolve_percent)}%", strong=True)

    def summarize(self, alert: AlertFacts) -> str:
        whole = count_of(alert.log_type, alert.total) if alert.total else alert.plural
        limit = f"in {quantities.window(self.window_minutes)} (limit {quantities.number(self.percent)}%)"
        return join(f"{shown(alert.value)}% of {whole}", alert.subject, alert.group_phrase, limit)
