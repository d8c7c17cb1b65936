"""All enabled patterns, compiled into one index from logs to the rules that they match. Pure.

The cost of a log depends on the rules that may match it, not on the number of rules: they are found by log type, code,
status and text through dictionaries and multi-pattern automata, and by the most selective field of their filters.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

import re2

from app.enums import LogType, PatternType
from app.services.rules import expressions
from app.services.rules.pattern_index import MAX_CACHED, Candidates, CodeIndex, FilteredRules, TextIndex, filter_matches
from app.services.rules.patterns import code_ranges, list_items, program_size
from app.services.rules.rule import Rule
from app.services.rules.types import LogVersion


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
        self._any = Candidates(by_pattern[PatternType.ANY], rules)
        self._codes = CodeIndex(by_pattern[PatternType.ERROR_CODE], rules)
        self._statuses = _by_status(by_pattern[PatternType.STATUS], rules)
        texts = [*by_pattern[PatternType.KEYWORD], *by_pattern[PatternType.REGEX]]
        self._texts = TextIndex(texts, rules) if texts else None
        expression_rules = by_pattern[PatternType.EXPRESSION]
        self._expression_rules = Candidates(expression_rules, rules) if expression_rules else None
        self._decisions: dict[tuple[str | None, int | None], _Decision] = {}

    def match(self, log: LogVersion) -> tuple[Rule, ...]:
        """Return the rules that a log of this type matches, in the order of the index."""
        decision = self._decisions.get((log.status, log.error_code)) or self._decide(log.status, log.error_code)
        numbers = filter_matches(decision.filtered, log) if decision.filtered else []
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
        if len(self._decisions) >= MAX_CACHED:
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


def _by_status(numbers: Sequence[int], rules: Sequence[Rule]) -> dict[str | None, Candidates]:
    rules_by_status: dict[str | None, list[int]] = defaultdict(list)
    for number in numbers:
        for status in set(list_items(rules[number].pattern_value or "")):
            rules_by_status[status].append(number)
    return {status: Candidates(found, rules) for status, found in rules_by_status.items()}


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
            log_type.value: _LogTypeIndex(_rules_of_type(log_type, usable), usable, self._note_failure)
            for log_type in LogType
        }
        self._populations = {
            log_type.value: Candidates(_rules_of_type(log_type, self._ratio_rules), self._ratio_rules)
            for log_type in LogType
        }

    def match_batch(self, logs: Sequence[LogVersion]) -> list[tuple[Rule, ...]]:
        """Find the rules whose population contains a log and whose pattern it matches, whenever the rule started.

        Returns: one item per log, in their order; the rules of each are in the order of the index.
        """
        return [self._types[log.log_type].match(log) for log in logs]

    def ratio_rules_of(self, logs: Sequence[LogVersion]) -> list[tuple[Rule, ...]]:
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


def _rules_of_type(log_type: LogType, rules: Sequence[Rule]) -> list[int]:
    return [number for number, rule in enumerate(rules) if rule.log_type in {log_type, "any"}]


def _pattern_error(rule: Rule) -> str | None:
    """Return why a stored pattern is invalid. One that a newer library rejects must not stop the others."""
    try:
        match rule.pattern_type:
            case PatternType.ERROR_CODE:
                code_ranges(rule.pattern_value or "")
            case PatternType.REGEX:
                program_size(rule.pattern_value or "")
            case PatternType.EXPRESSION:
                expressions.compile_expression(rule.pattern_value or "")
    except (ValueError, re2.error):
        return "the pattern cannot be used any more: save the rule again"
    return None
