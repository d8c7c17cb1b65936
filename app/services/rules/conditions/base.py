"""The base classes of conditions: frozen parameters that know which numbers they need and how to judge them. Pure.

A `MatchCondition` holds at a match; its alerts are episodes of matches. A `MinuteCondition` is judged minute by minute
from numbers, which live evaluation and previews read from different sources.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from pydantic import ConfigDict

from app.errors import FieldError
from app.services.rules.conditions.numbers import Amounts, Numbers, OpenAlert, Verdict
from app.services.rules.episodes import Point, WindowSaturation
from app.services.rules.fields import StrictModel, refuse
from app.services.rules.schedule import contains
from app.services.rules.types import LogVersion
from app.services.rules.words import AlertFacts, Phrase, RuleFacts, count_of, join
from app.utils import quantities

MIN_SLOT_TTL = timedelta(hours=24)
NO_AMOUNT = Decimal(0)
UNKNOWN_UNIT = ""
"""For values without a unit, prices without a currency, and counts from before units were stored."""


@dataclass(frozen=True)
class RulePart:
    """The parts of a rule that a condition checks to find whether it can ever hold."""

    log_types: Collection[str]
    schedule: Mapping[str, Any] | None
    all_statuses: Callable[[Callable[[str, str], bool]], bool]
    """Return whether a predicate is true of every (log type, status) in the pattern; False if it lists none."""


class VersionCounts(NamedTuple):
    """What one version of a log adds to the counts of its minute."""

    total: int
    matched: int
    amount: Decimal = NO_AMOUNT
    unit: str = UNKNOWN_UNIT


class Condition(StrictModel):
    """The parameters of a condition, named as in the JSON. Each subclass has its `type`."""

    model_config = ConfigDict(frozen=True)

    limit_field: ClassVar[str | None] = None
    """The limit that a preview may vary without reading the logs again."""
    resolve_field: ClassVar[str | None] = None
    """The lower limit below which an alert resolves."""
    value_unit: ClassVar[str] = ""
    """Follows its limit and values in plots."""
    value_words: ClassVar[str] = "matching"
    """Names its values in plots."""
    value_title: ClassVar[str] = "How often"
    """The title of an alert's plot."""
    value_label: ClassVar[str] = "In the window"
    """Names its last value in messages."""
    advice: ClassVar[str] = ""
    """What to do about its alerts, even if some of their logs have an error; empty: what their error says."""
    counts_versions: ClassVar[bool] = False
    """It uses counts of the latest versions of logs, by the time of their creation."""
    counts_first_matches: ClassVar[bool] = False
    """It uses the minutes in which logs matched for the first time."""
    counts_final: ClassVar[bool] = False
    """Only final logs count, and those in the population that do not match count, too."""
    holds_below: ClassVar[bool] = False
    """It holds below its limit: groups without a match are judged, too."""
    names_logs: ClassVar[bool] = False
    """It is judged on single logs, whose ids are known."""

    @property
    def limit(self) -> float | None:
        """The value at which it holds; None if it measures nothing."""
        return None if self.limit_field is None else float(getattr(self, self.limit_field))

    def measured(self, noun: str) -> str | None:
        """Return what is measured, for example of `messages`; None if matches are counted."""
        return None

    @property
    def resolve_limit(self) -> float | None:
        """The value below which an alert resolves, unless that is the limit."""
        lower = None if self.resolve_field is None else getattr(self, self.resolve_field)
        return None if lower in (None, self.limit) else float(lower)

    @property
    def window(self) -> timedelta:
        """The length of the window; zero if there is none."""
        return timedelta(minutes=getattr(self, "window_minutes", 0))

    @property
    def settle_delay(self) -> timedelta:
        """How long before the evaluated minute the window ends."""
        return timedelta(0)

    @property
    def slot_ttl(self) -> timedelta:
        """How long after its last match a group without an open alert keeps its slot."""
        return max(MIN_SLOT_TTL, self.window)

    @property
    def watched_field(self) -> str | None:
        """The field whose known values it needs."""
        return None

    @property
    def lookback(self) -> timedelta:
        """How far back values are known."""
        return timedelta(0)

    @property
    def earlier_windows(self) -> int:
        """How many windows before the latest it needs."""
        return 0

    @property
    def min_known_windows(self) -> int:
        """How many of those must be completely read."""
        return 0

    @property
    def summed_field(self) -> str | None:
        """The field whose amounts it sums."""
        return None

    @property
    def min_age(self) -> timedelta:
        """The minimum age of the logs that it counts."""
        return timedelta(0)

    @property
    def min_window_total(self) -> int:
        """Windows with fewer logs are not judged."""
        return 0

    def count_version(self, log: LogVersion, matches: bool) -> VersionCounts:
        """Return what a version of a log adds to the counts of its minute."""
        return VersionCounts(0, int(matches))

    def unit_of(self, log: LogVersion) -> str:
        """Return the unit that the summed field of a log is in."""
        return UNKNOWN_UNIT

    def may_fire(self, schedule: Mapping[str, Any] | None, at: datetime) -> bool:
        """Return whether the schedule allows it to fire."""
        return contains(schedule, at)

    def breached_until(self, amounts: Amounts, until: datetime, at: datetime) -> datetime:
        """Return until when it held after a manual resolve, by the amounts known at `at`."""
        return until

    def ends_by(self, alert: OpenAlert) -> datetime | None:
        """Return when an alert may end without a change of numbers; None means never."""
        return None

    def warm_up_span(self, *, grouped: bool) -> timedelta | None:
        """Return how far before its start a rule reads stored logs to warm up; None if it does not."""
        return None

    def errors(self, rule: RulePart, retention: timedelta) -> Iterator[FieldError]:
        """List the fields for which it could never hold."""
        yield from ()

    def warnings(self, rule: RulePart, settle: timedelta) -> Iterator[FieldError]:
        """List the fields for which it may never hold."""
        yield from ()

    def facts(self, alert: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
        """Describe what it measured, if it is more than the count of matches, as labels and texts for a message.

        Args:
            alert: as the API shows it.
            logs: its newest logs, as the API shows them, the newest first.
        """
        value = alert.get("value")
        if value is not None and value != alert["occurrences"]:
            yield self.value_label, self.value_text(value, alert, logs)

    def value_text(self, value: float, alert: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]) -> str:
        """Write a value with its unit."""
        return quantities.number(value)

    @abstractmethod
    def opens_when(self, rule: RuleFacts) -> Iterator[Phrase]:
        """Describe when an alert opens, from "as soon as" or "when" to the full stop."""

    @abstractmethod
    def resolves_when(self, resolve_after_minutes: int) -> Iterator[Phrase]:
        """Describe when an alert resolves, to follow "and resolves "."""

    @abstractmethod
    def summarize(self, alert: AlertFacts) -> str:
        """Summarize what happened, how often, and where: `3 calls with error 30003 to GB`."""


class MatchCondition(Condition):
    """A condition that holds at a match. Further matches join the alert until there are none for a while."""

    @property
    def newest_needed(self) -> int:
        """How many of the newest matches decide whether an alert is over; 0: the last one decides."""
        return 0

    @abstractmethod
    def opens(self, points: Sequence[Point]) -> list[bool]:
        """Return for each match whether the condition holds at it.

        Args:    points: sorted; for every match in question, all those in its window.
        """

    def saturation(self, points: Sequence[Point]) -> WindowSaturation | None:
        """Return until when windows are too full for the alert to be over; None without windows."""
        return None

    def resolves_when(self, resolve_after_minutes: int) -> Iterator[Phrase]:
        if resolve_after_minutes:
            yield Phrase(quantities.window(resolve_after_minutes), strong=True)
            yield Phrase(" after the last match")
        else:
            yield Phrase("with the last match")

    def summarize(self, alert: AlertFacts) -> str:
        return join(count_of(alert.log_type, alert.occurrences), alert.subject, alert.group_phrase)


class MinuteCondition(Condition):
    """A condition that is judged at every whole minute."""

    def may_hold(self, numbers: Numbers) -> bool:
        """Return False if `judge` would certainly not hold. Much faster."""
        return True

    @abstractmethod
    def judge(self, numbers: Numbers) -> Verdict:
        """Judge one group at one minute."""

    def resolves_when(self, resolve_after_minutes: int) -> Iterator[Phrase]:
        yield Phrase("as soon as that is no longer so")


def within(minutes: int) -> Iterator[Phrase]:
    """Write the length of the window and end the sentence."""
    yield Phrase(" within ")
    yield Phrase(quantities.window(minutes), strong=True)
    yield Phrase(".")


def shown(value: float | None) -> str:
    """Write a measured value."""
    return "?" if value is None else quantities.number(value)


def check_resolve_limit(value: float | None, limit: float | None, name: str) -> None:
    """Reject a resolve limit at which the alert would fire again."""
    if value is not None and limit is not None and value > limit:
        raise refuse(f"must be at most {name}, {limit:.16g}")
