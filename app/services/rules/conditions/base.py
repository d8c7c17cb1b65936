"""What every condition is: frozen parameters that know which numbers they need, and what those mean. Pure.

A condition either holds at a match (`MatchCondition`), and its alerts are episodes of matches, or it is judged over
time, minute by minute (`MinuteCondition`), from numbers that live evaluation and previews each get from their source.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, Protocol

from pydantic import ConfigDict

from app.enums import ResolveReason
from app.errors import FieldError
from app.services.rules.episodes import Point, WindowSaturation
from app.services.rules.fields import StrictModel, refuse
from app.services.rules.schedule import contains
from app.services.rules.types import LogVersion
from app.services.rules.words import AlertFacts, Phrase, RuleFacts, count_of, join
from app.utils import quantities

MIN_SLOT_TTL = timedelta(hours=24)
NO_AMOUNT = Decimal(0)
UNKNOWN_UNIT = ""
"""Of what has no unit, of prices without a currency, and of what was counted before units were."""

MinuteAmounts = Sequence[tuple[datetime, Decimal]]
"""(minute, amount), oldest first; a minute is named by its end."""
Amounts = Mapping[str, MinuteAmounts]
"""Unit to its amounts. What has an unknown unit counts towards each of the others."""
Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class RulePart:
    """What a condition looks at in the rest of its rule, to tell whether it can ever hold."""

    log_types: Collection[str]
    schedule: Mapping[str, Any] | None
    all_statuses: Callable[[Callable[[str, str], bool]], bool]
    """Say whether something holds of every (log type, status) that the pattern lists; False: it lists none."""


class OpenAlert(Protocol):
    """What the open alert of a group remembers."""

    @property
    def started_at(self) -> datetime: ...
    @property
    def baseline(self) -> float | None: ...
    @property
    def insufficient_since(self) -> datetime | None: ...
    @property
    def price_unit(self) -> str | None: ...


class VersionCounts(NamedTuple):
    """What one version of a log adds to its minute."""

    total: int
    matched: int
    amount: Decimal = NO_AMOUNT
    unit: str = UNKNOWN_UNIT


class Condition(StrictModel):
    """The parameters of a condition, under the names of the JSON; each subclass has its `type`."""

    model_config = ConfigDict(frozen=True)

    limit_field: ClassVar[str | None] = None
    """The limit that may be moved without another reading of logs."""
    resolve_field: ClassVar[str | None] = None
    """The lower limit below which an alert resolves."""
    value_unit: ClassVar[str] = ""
    """Written behind its limit and its values, in plots."""
    value_words: ClassVar[str] = "matching"
    """What its values are, in plots."""
    value_title: ClassVar[str] = "How often"
    """What the plot of an alert answers."""
    counts_versions: ClassVar[bool] = False
    """It goes by counts that follow the latest versions of logs, by the time of their creation."""
    counts_first_matches: ClassVar[bool] = False
    """It goes by the minutes in which logs matched for the first time."""
    counts_final: ClassVar[bool] = False
    """Final logs count alone, and those of the population that do not match count, too."""
    holds_below: ClassVar[bool] = False
    """It holds below its limit: a group is judged though it has no match."""
    names_logs: ClassVar[bool] = False
    """It looks at the logs themselves, which are known one by one."""

    @property
    def limit(self) -> float | None:
        """The value at which it holds; None: it measures nothing."""
        return None if self.limit_field is None else float(getattr(self, self.limit_field))

    def measured(self, noun: str) -> str | None:
        """Say what is measured at each moment, of `messages` for example; None: matches are counted."""
        return None

    @property
    def resolve_limit(self) -> float | None:
        """The value below which an alert resolves, where that is not the limit."""
        lower = None if self.resolve_field is None else getattr(self, self.resolve_field)
        return None if lower in (None, self.limit) else float(lower)

    @property
    def window(self) -> timedelta:
        """The length of the window; zero where there is none."""
        return timedelta(minutes=getattr(self, "window_minutes", 0))

    @property
    def settle_delay(self) -> timedelta:
        """How long before it is judged the window ends."""
        return timedelta(0)

    @property
    def slot_ttl(self) -> timedelta:
        """How long a group without an open alert keeps its slot after its last match."""
        return max(MIN_SLOT_TTL, self.window)

    @property
    def watched_field(self) -> str | None:
        """The field whose values it remembers."""
        return None

    @property
    def lookback(self) -> timedelta:
        """How far back it remembers them."""
        return timedelta(0)

    @property
    def earlier_windows(self) -> int:
        """How many windows before the latest it needs."""
        return 0

    @property
    def windows_needed(self) -> int:
        """How many of them must be known."""
        return 0

    @property
    def summed_field(self) -> str | None:
        """The field whose amounts it needs."""
        return None

    @property
    def min_age(self) -> timedelta:
        """How old the logs are that it looks at."""
        return timedelta(0)

    @property
    def least_total(self) -> int:
        """A window with fewer logs is not judged."""
        return 0

    def count_version(self, log: LogVersion, matches: bool) -> VersionCounts:
        """Say what a version of a log adds to its minute."""
        return VersionCounts(0, int(matches))

    def unit_of(self, log: LogVersion) -> str:
        """Return the unit that the summed field of a log is in."""
        return UNKNOWN_UNIT

    def fits(self, schedule: Mapping[str, Any] | None, at: datetime) -> bool:
        """Say whether the schedule lets it fire."""
        return contains(schedule, at)

    def breached_until(self, amounts: Amounts, until: datetime, at: datetime) -> datetime:
        """Return up to when it held after an alert was resolved by hand, as amounts stand at `at`."""
        return until

    def ends_by(self, alert: OpenAlert) -> datetime | None:
        """Return when an alert may end though no number changes; None: never."""
        return None

    def warm_up_span(self, *, grouped: bool) -> timedelta | None:
        """Return how far back of its start a rule learns from stored logs; None: it needs nothing."""
        return None

    def faults(self, rule: RulePart, retention: timedelta) -> Iterator[FieldError]:
        """List the fields for which it could never hold."""
        yield from ()

    def doubts(self, rule: RulePart, settle: timedelta) -> Iterator[FieldError]:
        """List the fields for which it is not known ever to hold."""
        yield from ()

    @abstractmethod
    def opens_when(self, rule: RuleFacts) -> Iterator[Phrase]:
        """Write when an alert opens, from "as soon as" or "when" up to the full stop."""

    @abstractmethod
    def resolves_when(self, resolve_after_minutes: int) -> Iterator[Phrase]:
        """Write when an alert resolves, after "and resolves "."""

    @abstractmethod
    def summarize(self, alert: AlertFacts) -> str:
        """Write what happened, how often, and where: `3 calls with error 30003 to GB`."""


class MatchCondition(Condition):
    """A condition that holds at a match: further matches join the alert until there are none for a while."""

    @property
    def newest_needed(self) -> int:
        """How many of the newest matches say whether an alert is over; 0: the last one does."""
        return 0

    @abstractmethod
    def opens(self, points: Sequence[Point]) -> list[bool]:
        """Say for each match whether the condition holds at it.

        Args:    points: sorted; for every match that is asked about, all those of its window.
        """

    def saturation(self, points: Sequence[Point]) -> WindowSaturation | None:
        """Say until when windows stay too full for the alert to be over; None: there are no windows."""
        return None

    def resolves_when(self, resolve_after_minutes: int) -> Iterator[Phrase]:
        if resolve_after_minutes:
            yield Phrase(quantities.window(resolve_after_minutes), strong=True)
            yield Phrase(" after the last match")
        else:
            yield Phrase("with the last match")

    def summarize(self, alert: AlertFacts) -> str:
        return join(count_of(alert.log_type, alert.occurrences), alert.subject, alert.group_phrase)


class WindowCounts(NamedTuple):
    """The logs of a window."""

    total: int
    matched: int


NO_COUNTS = WindowCounts(0, 0)


def _no_window(index: int) -> WindowCounts:
    return NO_COUNTS


@dataclass(frozen=True)
class Numbers:
    """What one group is judged by at one minute, whoever counted it."""

    at: datetime
    first: datetime
    """The first minute that the rule is judged at."""
    window: Callable[[int], WindowCounts] = _no_window
    """The window so many windows before the latest, which has index 0."""
    known_from: datetime | None = None
    """From when on all that the rule looks at is known whole."""
    amounts: Amounts = field(default_factory=dict)
    """Of the last day and one window more."""
    alerted_spans: Sequence[Span] = ()
    """(from, to) of earlier alerts: windows that share time with them have been told."""
    stuck: int = 0
    """How many logs are stuck."""
    alert: OpenAlert | None = None
    goes_on: bool = False
    """The condition held before, and has not been false since."""


@dataclass(frozen=True)
class Verdict:
    """What a condition over time says of one group at one minute."""

    holds: bool | None
    """True: it holds; False: an open alert is over; None: neither can be said."""
    value: float | None
    reason: ResolveReason = ResolveReason.CLEARED
    """Why an open alert is over."""
    baseline: float | None = None
    """Of `spike`: what the window is held against."""
    insufficient_since: datetime | None = None
    """Of `ratio`: since when there are too few logs to judge."""
    window_ended_at: datetime | None = None
    """Of `sum`: the end of the window that reached the limit."""
    is_past: bool = False
    """Of `sum`: that window is past, and the latest one is below the limit: fires, and keeps nothing open."""
    unit: str | None = None
    """Of `sum`: the currency of `value`, where prices came in several."""


class MinuteCondition(Condition):
    """A condition that is judged at every full minute."""

    def may_hold(self, numbers: Numbers) -> bool:
        """Return False where `judge` could only say that it does not hold. Much faster."""
        return True

    @abstractmethod
    def judge(self, numbers: Numbers) -> Verdict:
        """Judge one group at one minute."""

    def resolves_when(self, resolve_after_minutes: int) -> Iterator[Phrase]:
        yield Phrase("as soon as that is no longer so")


def within(minutes: int) -> Iterator[Phrase]:
    """Write how long the window is, and end the sentence."""
    yield Phrase(" within ")
    yield Phrase(quantities.window(minutes), strong=True)
    yield Phrase(".")


def shown(value: float | None) -> str:
    """Write a measured value."""
    return "?" if value is None else quantities.number(value)


def check_resolve_limit(value: float | None, limit: float | None, name: str) -> None:
    """Refuse to resolve at what would fire again."""
    if value is not None and limit is not None and value > limit:
        raise refuse(f"must be at most {name}, {limit:.16g}")
