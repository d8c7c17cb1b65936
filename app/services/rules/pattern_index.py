"""Finds rules by code and by text, and checks their filters. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import re2

from app.services.rules.patterns import (
    SINGLE_AUTOMATON_BYTES,
    code_ranges,
    program_size,
    re2_options,
    text_patterns,
)
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion

_SHARED_AUTOMATON_BYTES = 256 << 20
"""Memory for the states of an automaton of many patterns; with less it would rebuild them all the time."""
MAX_CACHED = 20_000
# Rules are found by one of these fields of their filters, the most selective first.
_SELECTIVE_FIELDS = ("from", "to", "messaging_service_sid", "account_sid", "to_country", "direction", "level")
_FIELD_INDEX = {name: LogVersion._fields.index("from_" if name == "from" else name) for name in _SELECTIVE_FIELDS}


class _Entry(NamedTuple):
    """A rule, found by one value of one of its filters, and its other filters."""

    number: int
    other_filters: tuple[tuple[int, frozenset[str]], ...]


FilteredRules = tuple[tuple[int, Mapping[Any, list[_Entry]]], ...]
"""Fields of a log, each with the rules by the value that they require."""


class Candidates:
    """Rules that match if their filters allow the log. Rules are identified by their number in the index."""

    def __init__(self, numbers: Iterable[int], rules: Sequence[Rule]) -> None:
        unfiltered: list[int] = []
        by_field: dict[str, dict[str, list[_Entry]]] = defaultdict(lambda: defaultdict(list))
        for number in numbers:
            filters = rules[number].filters
            key = next((field for field in _SELECTIVE_FIELDS if field in filters), None)
            if key is None:
                unfiltered.append(number)
                continue
            rest = tuple((_FIELD_INDEX[field], values) for field, values in filters.items() if field != key)
            for value in filters[key]:
                by_field[key][value].append(_Entry(number, rest))
        self.unfiltered = tuple(unfiltered)
        self.filtered: FilteredRules = tuple((_FIELD_INDEX[field], dict(values)) for field, values in by_field.items())

    def find(self, log: LogVersion) -> list[int]:
        """Return the rules whose filters allow the log."""
        return [*self.unfiltered, *filter_matches(self.filtered, log)]


def filter_matches(filtered: FilteredRules, log: LogVersion) -> list[int]:
    found = []
    for field_index, values in filtered:
        for number, rest in values.get(log[field_index], ()):
            if all(log[other] in wanted for other, wanted in rest):
                found.append(number)
    return found


class CodeIndex:
    """Rules by code. The ends of all ranges split the codes into intervals, each computed when it is first needed."""

    def __init__(self, numbers: Sequence[int], rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._ranges = [
            (found, number) for number in numbers for found in code_ranges(rules[number].pattern_value or "")
        ]
        self._cuts = sorted({cut for found, _ in self._ranges for cut in (found.first, found.last + 1)})
        self._known: dict[int, Candidates] = {}

    def find(self, code: int) -> Candidates:
        """Return the rules whose list contains the code."""
        interval = bisect_right(self._cuts, code)
        if interval not in self._known:
            numbers = {number for found, number in self._ranges if found.first <= code <= found.last}
            self._known[interval] = Candidates(sorted(numbers), self._rules)
        return self._known[interval]


Automaton = tuple[Callable[[bytes], Sequence[int] | None], Sequence[Candidates]]
"""Finds the numbers of the patterns that match a text; and the rules of each pattern."""


class TextIndex:
    """Rules with patterns on texts, by pattern."""

    def __init__(self, numbers: Sequence[int], rules: Sequence[Rule]) -> None:
        rules_by_pattern: dict[str, list[int]] = defaultdict(list)
        for number in numbers:
            for pattern in text_patterns(rules[number]):
                rules_by_pattern[pattern].append(number)
        self._automata: list[Automaton] = []
        plain = {pattern for pattern in rules_by_pattern if not _is_large(pattern)}
        self._add(sorted(plain), rules_by_pattern, rules, _SHARED_AUTOMATON_BYTES)
        # A pattern with many states gets its own automaton, so that it does not slow down the others.
        for pattern in sorted(rules_by_pattern.keys() - plain):
            self._add([pattern], rules_by_pattern, rules, SINGLE_AUTOMATON_BYTES)
        self._by_error_message: dict[str, tuple[Candidates, ...]] = {}

    def _add(
        self, patterns: Sequence[str], rules_by_pattern: Mapping[str, list[int]], rules: Sequence[Rule], max_bytes: int
    ) -> None:
        if patterns:
            automaton = re2.Set.SearchSet(re2_options(max_bytes))
            for pattern in patterns:
                automaton.Add(pattern)
            automaton.Compile()
            self._automata.append(
                (automaton.Match, [Candidates(rules_by_pattern[pattern], rules) for pattern in patterns])
            )

    def find(self, text: str | None, error_message: str | None) -> Sequence[Candidates]:
        """Return the rules of the patterns that match the text or the error message of a log, by pattern.

        Results for error messages are cached: they are few. Texts are mostly different.
        """
        if error_message is None:
            return () if text is None else self._search(text)
        known = self._by_error_message.get(error_message)
        if known is None:
            if len(self._by_error_message) >= MAX_CACHED:
                self._by_error_message.clear()
            known = self._by_error_message[error_message] = tuple(self._search(error_message))
        return known if text is None else [*known, *self._search(text)]

    def _search(self, text: str) -> list[Candidates]:
        found: list[Candidates] = []
        encoded = text.encode()
        for match, candidates in self._automata:
            hits = match(encoded)
            if hits:
                found += [candidates[index] for index in hits]
        return found


def _is_large(pattern: str) -> bool:
    return program_size(pattern) > 2 * len(pattern) + 50
