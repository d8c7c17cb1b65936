"""The values of patterns: lists, codes and ranges, RE2 patterns. Pure."""

from functools import lru_cache
from typing import NamedTuple

import re2

from app.enums import PatternType
from app.services.rules import expressions
from app.services.rules.rule import Rule
from app.services.twilio import code_groups
from app.utils.digits import read_digits

SINGLE_AUTOMATON_BYTES = 32 << 20


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
            raise ValueError("the range ends before it starts")
        ranges.append(found)
    return ranges


def _code(digits: str) -> int:
    code = read_digits(digits.strip())
    if code is None:
        raise ValueError(NO_CODE)
    return code


def re2_options(max_bytes: int = SINGLE_AUTOMATON_BYTES) -> re2.Options:
    """Return the options for validating and matching patterns."""
    options = re2.Options()
    options.log_errors = False  # RE2 would write users' patterns to standard error.
    options.max_mem = max_bytes
    return options


@lru_cache(maxsize=10_000)
def program_size(pattern: str) -> int:
    """Return the size of a pattern's compiled program. Every edit of a rule asks for that of every pattern.

    Raises: re2.error if the pattern is invalid.
    """
    return int(re2.compile(pattern, re2_options()).programsize)


def text_patterns(rule: Rule) -> list[str]:
    """Return the RE2 patterns of a rule on texts."""
    value = rule.pattern_value or ""
    if rule.pattern_type == PatternType.REGEX:
        return [value]
    return ["(?i)" + re2.escape(item) for item in list_items(value)]


def reads_text(rule: Rule) -> bool:
    """Return whether the pattern looks at the text of a log."""
    if rule.pattern_type == PatternType.EXPRESSION:
        return expressions.reads_text(rule.pattern_value or "")
    return rule.pattern_type in (PatternType.KEYWORD, PatternType.REGEX)
