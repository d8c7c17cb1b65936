"""Words for sentences about rules and for summaries of alerts. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

NOUNS = {"call": "call", "message": "message", "error": "error-log entry", "any": "log"}
PLURALS = {"call": "calls", "message": "messages", "error": "error-log entries", "any": "logs"}
NEW_VALUE_NAMES = {
    "status": "status",
    "direction": "direction",
    "error_code": "error code",
    "from": "sender",
    "to": "recipient",
    "to_country": "country",
    "messaging_service_sid": "messaging service",
    "account_sid": "account",
    "price_unit": "currency",
}
"""What to call a new value of each field."""


class Phrase(NamedTuple):
    """A piece of a sentence."""

    text: str
    strong: bool = False
    """It is a value from the rule."""


def join(*parts: str) -> str:
    """Join the parts that are not empty by spaces; one that begins with a comma has none before it."""
    return "".join(part if part.startswith(",") else f" {part}" for part in parts if part).lstrip()


def count_of(log_type: str, count: int) -> str:
    """Write a number of logs: `3 calls`."""
    return f"{count:,} {noun(log_type, count)}"


def noun(log_type: str, count: int) -> str:
    """Return the noun for a number of logs."""
    return (NOUNS if count == 1 else PLURALS)[log_type]


def article(word: str) -> str:
    """Write a word with its article."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


@dataclass(frozen=True)
class AlertFacts:
    """The parts of an alert's summary, except its condition."""

    log_type: str
    subject: str
    """What the matches have in common: `with error 30003`; may be empty."""
    group: Mapping[str, Any]
    group_phrase: str
    """The group: `to GB`; may be empty."""
    occurrences: int
    value: float | None = None
    """The value of a condition over time at the last evaluated minute."""
    total: int = 0
    """The base of a percentage; 0 if unknown."""
    price_unit: str | None = None
    """The currency of a sum, if there are several."""

    @property
    def plural(self) -> str:
        """Several logs: `calls`."""
        return PLURALS[self.log_type]


@dataclass(frozen=True)
class RuleFacts:
    """The parts of the sentence about a rule, except its condition."""

    log_type: str
    group_by: Sequence[str]
    matching: Sequence[Phrase]
    """The matching logs: the pattern and the filters."""
    filters: Sequence[Phrase]
    pattern: Callable[[Sequence[str]], tuple[str, str]]
    """Takes verbs for codes, statuses, keywords, regular and CEL expressions; returns a verb and a value."""

    @property
    def one(self) -> Phrase:
        """One log: `a call`."""
        return Phrase(article(NOUNS[self.log_type]), strong=True)

    @property
    def plural(self) -> str:
        """Several logs: `calls`."""
        return PLURALS[self.log_type]
