"""`sum`: the sum over the matches of a window, for each unit separately. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from app.errors import FieldError
from app.services.rules.conditions.base import UNKNOWN_UNIT, MinuteCondition, RulePart, VersionCounts, within
from app.services.rules.conditions.numbers import Amounts, MinuteAmounts, Numbers, Verdict
from app.services.rules.fields import Window
from app.services.rules.types import LogVersion
from app.services.rules.words import AlertFacts, Phrase, RuleFacts, count_of, join
from app.services.spans import Span
from app.services.twilio.vocabulary import field_warning
from app.utils import quantities

LOOKBACK = timedelta(hours=24)
"""Windows that ended this long ago are still judged: prices arrive late."""
MINUTE = timedelta(minutes=1)
SUMMED = {"price": "price", "duration_seconds": "duration in seconds", "segments": "number of segments"}
"""The summed fields, in a sentence about the rule."""
SHORT_NAMES = {"price": ("price", ""), "duration_seconds": ("duration", " seconds"), "segments": ("segments", "")}
"""The summed fields and their units, in the summary of an alert."""


class Sum(MinuteCondition):
    """The absolute values of a field add up to `at_least` in a window."""

    type: Literal["sum"]
    field: Literal["price", "duration_seconds", "segments"]
    at_least: Annotated[float, Field(gt=0, le=1_000_000_000_000)]
    window_minutes: Window

    value_title = "How much"
    value_words = "summed up"
    value_label = "Sum"
    advice = "Check in the newest logs what adds up, and whether it is yours."
    limit_field = "at_least"
    counts_versions = True

    @property
    def summed_field(self) -> str:
        return self.field

    @property
    def limit_amount(self) -> Decimal:
        """The limit in the unit of the stored amounts."""
        return Decimal(str(self.at_least))

    def unit_of(self, log: LogVersion) -> str:
        """Return the unit of the field in a log: the currency of a price."""
        return (log.price_unit or UNKNOWN_UNIT) if self.field == "price" else UNKNOWN_UNIT

    def value_text(self, value: float, alert: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]) -> str:
        """Write a sum with its unit. The currency is that of the alert or group, else the one of all its logs."""
        if self.field != "price":
            return f"{quantities.number(value)} {'seconds' if self.field == 'duration_seconds' else self.field}"
        named = [known["price_unit"] for known in (alert, alert["group"]) if known.get("price_unit")]
        units = named[:1] or list({log["price_unit"] for log in logs if log.get("price_unit")})
        return f"{quantities.money(value)} {units[0] if len(units) == 1 else ''}".rstrip()

    def warnings(self, rule: RulePart, settle: timedelta) -> Iterator[FieldError]:
        if (why := field_warning(self.field, rule.log_types)) is not None:
            yield FieldError("condition.field", why)

    def count_version(self, log: LogVersion, matches: bool) -> VersionCounts:
        if not matches:
            return VersionCounts(0, 0)
        return VersionCounts(0, 1, abs(Decimal(getattr(log, self.field) or 0)), self.unit_of(log))

    def may_hold(self, numbers: Numbers) -> bool:
        return bool(self.judge(numbers).holds)

    def breached_until(self, amounts: Amounts, until: datetime, at: datetime) -> datetime:
        """Return until which minute the latest window stayed at the limit after a manual resolve.

        Windows that reached the limit until then belong to the same problem and do not alert again.
        """
        units = by_known_unit(amounts)
        following = max(until, at - LOOKBACK).replace(second=0, microsecond=0) + MINUTE
        while following <= at and any(self._latest(each, following) >= self.limit_amount for each in units.values()):
            until, following = following, following + MINUTE
        return until

    def judge(self, numbers: Numbers) -> Verdict:
        """Judge one group at one minute: the condition holds if the sum of one unit reaches the limit.

        Returns: `value` is the sum of the latest window; `window_ended_at` the end of the window that reached the
            limit; `unit` their unit, if there are several.
        """
        at, units = numbers.at, by_known_unit(numbers.amounts)
        sums = {unit: self._latest(found, at) for unit, found in units.items()}
        unit = _unit_to_show(sums, numbers.alert.price_unit if numbers.alert else None, self.limit_amount)
        latest = sums.get(unit, Decimal(0))
        if latest >= self.limit_amount:
            return Verdict(True, float(latest), window_ended_at=at, unit=_if_several(unit, units))
        past = [
            (reached, sums[unit], unit)
            for unit, found in units.items()
            if (reached := self._reached_before(found, numbers)) is not None
        ]
        if past:
            reached, latest, unit = max(past)
            return Verdict(True, float(latest), window_ended_at=reached, is_past=True, unit=_if_several(unit, units))
        return Verdict(False, float(latest), unit=_if_several(unit, units))

    def _latest(self, minutes: MinuteAmounts, at: datetime) -> Decimal:
        since = at - self.window
        return sum((amount for minute, amount in minutes if since < minute <= at), Decimal(0))

    def _reached_before(self, minutes: MinuteAmounts, numbers: Numbers) -> datetime | None:
        """Return the end of the latest window of the last day that reached the limit and has not alerted yet."""
        window, limit, at = self.window, self.limit_amount, numbers.at
        reached = None
        earliest = max(numbers.first, at - LOOKBACK + MINUTE)
        total, left, right = Decimal(0), 0, 0
        # A window is at its fullest where it ends with a minute that has something in it, or where windows begin to
        # count.
        for end in sorted({max(minute, earliest) for minute, _ in minutes}):
            while right < len(minutes) and minutes[right][0] <= end:
                total += minutes[right][1]
                right += 1
            while left < right and minutes[left][0] <= end - window:
                total -= minutes[left][1]
                left += 1
            if end <= at and total >= limit and not _is_alerted(end - window, end, numbers.alerted_spans):
                reached = end
        return reached

    def measured(self, noun: str) -> str:
        length = quantities.window(self.window_minutes)
        return f"{SUMMED[self.field]} of the matching {noun} of {length} before each moment"

    def opens_when(self, rule: RuleFacts) -> Iterator[Phrase]:
        yield Phrase("when the ")
        yield Phrase(SUMMED[self.field], strong=True)
        yield Phrase(f" of all {rule.plural}")
        yield from rule.matching
        if self.field == "price" and "price_unit" not in rule.group_by:
            yield Phrase(", each currency by itself,")
        yield Phrase(" adds up to at least ")
        yield Phrase(self._written(self.at_least), strong=True)
        yield from within(self.window_minutes)

    def summarize(self, alert: AlertFacts) -> str:
        added, unit = SHORT_NAMES[self.field]
        if alert.price_unit and "price_unit" not in alert.group:
            unit = f" {alert.price_unit}"
        now = "?" if alert.value is None else self._written(alert.value)
        amount = f"{added} of {count_of(alert.log_type, alert.occurrences)}"
        limit = f"reached {self._written(self.at_least)}{unit} in {quantities.window(self.window_minutes)}"
        return join(amount, alert.subject, alert.group_phrase, f"{limit} (now {now}{unit})")

    def _written(self, value: float) -> str:
        return quantities.money(value) if self.field == "price" else quantities.number(value)


def by_known_unit(amounts: Amounts) -> Amounts:
    """Add amounts with an unknown unit to each known unit; without a known unit they stay separate."""
    unknown = amounts.get(UNKNOWN_UNIT)
    if not unknown or len(amounts) == 1:
        return amounts
    return {unit: sorted([*found, *unknown]) for unit, found in amounts.items() if unit != UNKNOWN_UNIT}


def _unit_to_show(sums: Mapping[str, Decimal], alert_unit: str | None, limit: Decimal) -> str:
    """Return the unit to show: that of the alert, unless only another one reaches the limit."""
    largest = max(sums, key=lambda unit: (sums[unit], unit), default=UNKNOWN_UNIT)
    if alert_unit is None or sums.get(largest, 0) >= limit > sums.get(alert_unit, 0):
        return largest
    return alert_unit


def _if_several(unit: str, units: Amounts) -> str | None:
    return unit if len(units) > 1 else None


def _is_alerted(window_from: datetime, window_until: datetime, alerted_spans: Sequence[Span]) -> bool:
    return any(window_until > since and window_from < until for since, until in alerted_spans)
