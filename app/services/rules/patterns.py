"""All enabled patterns, compiled into one index from logs to the rules that they match. Pure.

The cost of a log depends on the rules that may match it, not on the number of rules: they are found by log type, code,
status and text through dictionaries and multi-pattern automata, and by the most selective field of their filters.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import re2

from app.enums import LogType, PatternType
from app.services.rules import expressions
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion
from app.services.twilio import code_groups

_SHARED_AUTOMATON_BYTES = 256 << 20
"""Memory for the states of an automaton of many patterns; with less it would rebuild them all the time."""
_SINGLE_AUTOMATON_BYTES = 32 << 20
_MAX_CACHED = 20_000

# Rules are found by one of these fields of their filters, the most selective first.
_SELECTIVE_FIELDS = ("from", "to", "messaging_service_sid", "account_sid", "to_country", "direction", "level")
_FIELD_INDEX = {name: LogVersion._fields.index("from_" if name == "from" else name) for name in _SELECTIVE_FIELDS}


class CodeRange(NamedTuple):
    """Codes from `first` to `last`, both included."""

    first: int
    last: int


NO_CODE = (
    "is neither a code such as 30003, nor a range such as 30000-30999, nor a name such as family:messaging-filtering,"
    " nor *"
)
ANY_CODE = CodeRange(-(2**63), 2**63)


def list_items(pattern_value: str) -> list[str]:
    """Split a comma-separated list."""
    return [item.strip() for item in pattern_value.split(",")]


def code_ranges(pattern_value: str) -> list[CodeRange]:
    """Read the codes, ranges, names of groups and `*` of an `error_code` pattern.

    Raises: ValueError if an item is none of these, or a range ends before it starts.
    """
    ranges = []
    for item in list_items(pattern_value):
        if code_groups.is_group(item):
            ranges += [CodeRange(*each) for each in code_groups.ranges_of(item)]
            continue
        first, dash, last = item.partition("-")
        found = ANY_CODE if item == "*" else CodeRange(_code(first), _code(last if dash else first))
        if found.last < found.first:
            raise ValueError("a range runs backwards")
        ranges.append(found)
    return ranges


def _code(digits: str) -> int:
    digits = digits.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        raise ValueError(NO_CODE)
    return int(digits)


def re2_options(max_bytes: int = _SINGLE_AUTOMATON_BYTES) -> re2.Options:
    """Return the options for validating and matching patterns."""
    options = re2.Options()
    options.log_errors = False  # RE2 would write users' patterns to standard error.
    options.max_mem = max_bytes
    return options


class _Entry(NamedTuple):
    """A rule, found by one value of one of its filters, and its other filters."""

    number: int
    other_filters: tuple[tuple[int, frozenset[str]], ...]


FilteredRules = tuple[tuple[int, Mapping[Any, list[_Entry]]], ...]
"""Fields of a log, each with the rules by the value that they require."""


class _Candidates:
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
        return [*self.unfiltered, *_filter_matches(self.filtered, log)]


def _filter_matches(filtered: FilteredRules, log: LogVersion) -> list[int]:
    found = []
    for field_index, values in filtered:
        for number, rest in values.get(log[field_index], ()):
            if all(log[other] in wanted for other, wanted in rest):
                found.append(number)
    return found


class _CodeIndex:
    """Rules by code. The ends of all ranges split the codes into intervals, each computed when it is first needed."""

    def __init__(self, numbers: Sequence[int], rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._ranges = [
            (found, number) for number in numbers for found in code_ranges(rules[number].pattern_value or "")
        ]
        self._cuts = sorted({cut for found, _ in self._ranges for cut in (found.first, found.last + 1)})
        self._known: dict[int, _Candidates] = {}

    def find(self, code: int) -> _Candidates:
        """Return the rules whose list contains the code."""
        interval = bisect_right(self._cuts, code)
        if interval not in self._known:
            numbers = {number for found, number in self._ranges if found.first <= code <= found.last}
            self._known[interval] = _Candidates(sorted(numbers), self._rules)
        return self._known[interval]


Automaton = tuple[Callable[[bytes], Sequence[int] | None], Sequence[_Candidates]]
"""Finds the numbers of the patterns that match a text; and the rules of each pattern."""


class _TextIndex:
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
            self._add([pattern], rules_by_pattern, rules, _SINGLE_AUTOMATON_BYTES)
        self._sentences: dict[str, tuple[_Candidates, ...]] = {}

    def _add(
        self, patterns: Sequence[str], rules_by_pattern: Mapping[str, list[int]], rules: Sequence[Rule], max_bytes: int
    ) -> None:
        if patterns:
            automaton = re2.Set.SearchSet(re2_options(max_bytes))
            for pattern in patterns:
                automaton.Add(pattern)
            automaton.Compile()
            self._automata.append(
                (automaton.Match, [_Candidates(rules_by_pattern[pattern], rules) for pattern in patterns])
            )

    def find(self, text: str | None, sentence: str | None) -> Sequence[_Candidates]:
        """Return the rules of the patterns that match the text or the error message of a log, by pattern.

        Results for error messages are cached: they are few. Texts are mostly different.
        """
        if sentence is None:
            return () if text is None else self._search(text)
        known = self._sentences.get(sentence)
        if known is None:
            if len(self._sentences) >= _MAX_CACHED:
                self._sentences.clear()
            known = self._sentences[sentence] = tuple(self._search(sentence))
        return known if text is None else [*known, *self._search(text)]

    def _search(self, text: str) -> list[_Candidates]:
        found: list[_Candidates] = []
        encoded = text.encode()
        for match, candidates in self._automata:
            hits = match(encoded)
            if hits:
                found += [candidates[index] for index in hits]
        return found


def text_patterns(rule: Rule) -> list[str]:
    """Return the RE2 patterns of a rule on texts."""
    value = rule.pattern_value or ""
    if rule.pattern_type == PatternType.REGEX:
        return [value]
    return ["(?i)" + re2.escape(item) for item in list_items(value)]


def _is_large(pattern: str) -> bool:
    return bool(re2.compile(pattern, re2_options()).programsize > 2 * len(pattern) + 50)


class _Decision(NamedTuple):
    """The rules that the status and the code of a log decide."""

    numbers: tuple[int, ...]
    """Rules without filters, which match."""
    rules: tuple[Rule, ...]
    """The same rules."""
    filtered: FilteredRules
    """Rules whose filters must be checked."""


class _LogTypeIndex:
    """The rules for one type of log."""

    def __init__(self, numbers: Sequence[int], rules: Sequence[Rule], fail: Callable[[UUID, int, str], None]) -> None:
        by_pattern: dict[PatternType, list[int]] = defaultdict(list)
        for number in numbers:
            by_pattern[rules[number].pattern_type].append(number)
        self._rules, self._fail = rules, fail
        self._any = _Candidates(by_pattern[PatternType.ANY], rules)
        self._codes = _CodeIndex(by_pattern[PatternType.ERROR_CODE], rules)
        self._statuses = _by_status(by_pattern[PatternType.STATUS], rules)
        texts = [*by_pattern[PatternType.KEYWORD], *by_pattern[PatternType.REGEX]]
        self._texts = _TextIndex(texts, rules) if texts else None
        expression_rules = by_pattern[PatternType.EXPRESSION]
        self._expression_rules = _Candidates(expression_rules, rules) if expression_rules else None
        self._decisions: dict[tuple[str | None, int | None], _Decision] = {}

    def match(self, log: LogVersion) -> tuple[Rule, ...]:
        """Return the rules that a log of this type matches, in the order of the index."""
        decision = self._decisions.get((log.status, log.error_code)) or self._decide(log.status, log.error_code)
        numbers = _filter_matches(decision.filtered, log) if decision.filtered else []
        if self._texts is not None:
            for candidates in self._texts.find(log.text, log.error_message):
                numbers += candidates.find(log)
        if self._expression_rules is not None:
            numbers += self._evaluate_expressions(log, self._expression_rules.find(log))
        if not numbers:
            return decision.rules
        return tuple([self._rules[number] for number in sorted({*decision.numbers, *numbers})])

    def _decide(self, status: str | None, code: int | None) -> _Decision:
        parts = [self._any]
        if status in self._statuses:
            parts.append(self._statuses[status])
        if code is not None:
            parts.append(self._codes.find(code))
        numbers = tuple(sorted(number for part in parts for number in part.unfiltered))
        filtered = tuple(filtered for part in parts for filtered in part.filtered)
        if len(self._decisions) >= _MAX_CACHED:
            self._decisions.clear()
        decision = _Decision(numbers, tuple(self._rules[number] for number in numbers), filtered)
        self._decisions[status, code] = decision
        return decision

    def _evaluate_expressions(self, log: LogVersion, numbers: Sequence[int]) -> list[int]:
        if not numbers:
            return []
        variables = expressions.activation(log)
        found = []
        for number in numbers:
            rule = self._rules[number]
            try:
                if expressions.compile_expression(rule.pattern_value or "").matches(variables):
                    found.append(number)
            except expressions.ExpressionError as error:
                self._fail(rule.id, log.log_id, str(error))
        return found


def _by_status(numbers: Sequence[int], rules: Sequence[Rule]) -> dict[str | None, _Candidates]:
    rules_by_status: dict[str | None, list[int]] = defaultdict(list)
    for number in numbers:
        for status in set(list_items(rules[number].pattern_value or "")):
            rules_by_status[status].append(number)
    return {status: _Candidates(found, rules) for status, found in rules_by_status.items()}


class Failures(NamedTuple):
    """The errors of rules while logs were matched."""

    reasons: dict[UUID, str]
    """The last error of each rule, without data of logs."""
    logs: dict[UUID, set[int]]
    """The ids of the logs on which each rule failed."""


class RuleIndex:
    """Finds the rules that a log matches. Rebuilt when a rule changes."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.broken = {rule.id: reason for rule in rules if (reason := _pattern_error(rule)) is not None}
        self._failures = Failures(dict(self.broken), defaultdict(set))
        usable = [rule for rule in rules if rule.id not in self.broken]
        self._ratio_rules = [rule for rule in rules if rule.condition.counts_final]
        self._types: dict[str, _LogTypeIndex] = {
            kind.value: _LogTypeIndex(_rules_of_type(kind, usable), usable, self._note_failure) for kind in LogType
        }
        self._populations = {
            kind.value: _Candidates(_rules_of_type(kind, self._ratio_rules), self._ratio_rules) for kind in LogType
        }

    def match_batch(self, logs: Sequence[LogVersion]) -> list[tuple[Rule, ...]]:
        """Find the rules whose population contains a log and whose pattern it matches, whenever the rule started.

        Returns: one item per log, in their order; the rules of each are in the order of the index.
        """
        return [self._types[log.log_type].match(log) for log in logs]

    def populations(self, logs: Sequence[LogVersion]) -> list[tuple[Rule, ...]]:
        """Find the `ratio` rules whose population contains a log, whether or not it matches.

        Returns: one item per log, in their order.
        """
        if not self._ratio_rules:
            return [()] * len(logs)
        return [
            tuple([self._ratio_rules[number] for number in self._populations[log.log_type].find(log)]) for log in logs
        ]

    def pop_failures(self) -> Failures:
        """Return the failures since the last call."""
        failures, self._failures = self._failures, Failures(dict(self.broken), defaultdict(set))
        return failures

    def _note_failure(self, rule_id: UUID, log_id: int, reason: str) -> None:
        self._failures.reasons[rule_id] = f"the expression failed on a log, which counts as no match: {reason}"
        self._failures.logs[rule_id].add(log_id)


def _rules_of_type(kind: LogType, rules: Sequence[Rule]) -> list[int]:
    return [number for number, rule in enumerate(rules) if rule.log_type in {kind, "any"}]


def _pattern_error(rule: Rule) -> str | None:
    """Return why a stored pattern is invalid. One that a newer library rejects must not stop the others."""
    try:
        match rule.pattern_type:
            case PatternType.ERROR_CODE:
                code_ranges(rule.pattern_value or "")
            case PatternType.REGEX:
                re2.compile(rule.pattern_value or "", re2_options())
            case PatternType.EXPRESSION:
                expressions.compile_expression(rule.pattern_value or "")
    except (ValueError, re2.error):
        return "the pattern cannot be used any more: save the rule again"
    return None
