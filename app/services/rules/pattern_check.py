"""Validates the pattern of a rule. Error messages name the position and repeat no value. Pure."""

import re
from collections.abc import Callable, Mapping

import re2

from app.enums import PatternType
from app.services.rules.expressions import ExpressionError, check_expression, literal_patterns
from app.services.rules.patterns import code_ranges, list_items, re2_options

BASE_PROGRAM_SIZE = 3_000
"""The limit of steps of a compiled pattern, plus two per character: then a text costs microseconds."""


def pattern_error(pattern_type: PatternType, value: str | None) -> str | None:
    """Return why a pattern is invalid, or None."""
    if pattern_type == PatternType.ANY:
        return None
    if value is None:
        return f"is required with the pattern type {pattern_type.value}"
    try:
        _CHECKS[pattern_type](value)
    except ValueError as error:
        return str(error)
    return None


def _check_items(value: str) -> None:
    for position, item in enumerate(list_items(value), start=1):
        if not item:
            raise ValueError(f"item {position} of the list is empty")


def _check_codes(value: str) -> None:
    _check_items(value)
    for position, item in enumerate(list_items(value), start=1):
        try:
            code_ranges(item)
        except ValueError as error:
            raise ValueError(f"item {position} of the list: {error}") from None


def _check_statuses(value: str) -> None:
    _check_items(value)
    for position, item in enumerate(list_items(value), start=1):
        if re.fullmatch("[a-z]+([_-][a-z]+)*", item) is None:
            raise ValueError(f"item {position} of the list is not a status: write it like failed or no-answer")


def _check_regex(value: str) -> None:
    try:
        size = re2.compile(value, re2_options()).programsize
    except re2.error as error:
        raise ValueError(_regex_error(value, error)) from None
    if size > BASE_PROGRAM_SIZE + 2 * len(value):
        raise ValueError("is too large when compiled: use smaller repetitions or fewer character classes")


_PARENTHESES = {"missing )", "unexpected )"}
_PARENTHESIS = re.compile(r"\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|[()]", re.DOTALL)
"""Quotes, escapes and classes, in which a parenthesis is literal; and the parentheses."""
_NOT_IN_RE2 = {"(?=": "lookahead", "(?!": "lookahead", "(?<": "lookbehind"}


def _regex_error(pattern: str, error: Exception) -> str:
    """Describe RE2's error and its position, which is the part of the pattern that RE2 names.

    For an unmatched parenthesis RE2 names the whole pattern, so its position is searched for.
    """
    raw = error.args[0] if error.args else b""
    reason, _, piece = (raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)).partition(": ")
    position = _unmatched_parenthesis(pattern) if reason in _PARENTHESES else pattern.find(piece) + 1 if piece else 0
    where = f", at character {position}" if position else ""
    words = next((f"RE2 has no {name}" for sign, name in _NOT_IN_RE2.items() if piece.startswith(sign)), reason)
    return f"is not a valid RE2 pattern: {words}{where}"


def _unmatched_parenthesis(pattern: str) -> int:
    """Return the position of the unmatched parenthesis, counted from 1; 0 if it is not found."""
    unclosed: list[int] = []
    for token in _PARENTHESIS.finditer(pattern):
        if token[0] == "(":
            unclosed.append(token.start() + 1)
        elif token[0] == ")":
            if not unclosed:
                return token.start() + 1
            unclosed.pop()
    return unclosed[-1] if unclosed else 0


def _check_cel(value: str) -> None:
    try:
        check_expression(value)
    except ExpressionError as error:
        raise ValueError(str(error)) from None
    for pattern, where in literal_patterns(value):
        try:
            _check_regex(pattern)
        except ValueError as error:
            raise ValueError(f"the pattern given to matches(){where}, {error}") from None


_CHECKS: Mapping[PatternType, Callable[[str], None]] = {
    PatternType.ERROR_CODE: _check_codes,
    PatternType.STATUS: _check_statuses,
    PatternType.KEYWORD: _check_items,
    PatternType.REGEX: _check_regex,
    PatternType.EXPRESSION: _check_cel,
}
