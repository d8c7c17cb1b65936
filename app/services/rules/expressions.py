"""CEL expressions over `log`: validated when a rule is saved, compiled once, and run over many logs. Pure.

`log` is a map with the names and values of a log in the API: times and prices are texts, as in JSON.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel

from app.services import log_fields
from app.services.rules.types import LogVersion
from app.utils.clock import rfc3339

MAX_CHARACTERS = 10_000
MAX_CHARACTERS_WITH_MACRO = 2_000
"""A macro runs its body once for each item of a list, so the product of the two must stay small."""
MAX_SECONDS = 0.002
"""The limit for one evaluation of a long log. Usual expressions take less than a hundredth of it."""

Value = str | int | bool | None

_TEXT = cel.Type.STRING
_TEXT_OR_NULL = cel.Type("google.protobuf.StringValue")
_INT_OR_NULL = cel.Type("google.protobuf.Int64Value")
FIELDS: Mapping[str, Any] = {
    "sid": _TEXT,
    "account_sid": _TEXT,
    "log_type": _TEXT,
    **{field.name: _INT_OR_NULL if field.sql_type == "int" else _TEXT_OR_NULL for field in log_fields.FIELDS},
    "occurred_at": _TEXT,
    "changed_at": _TEXT,
    "final": cel.Type.BOOL,
}
"""The fields of a log in expressions, with the types for the check."""

_HAS = re.compile(r"\bhas\(\s*log\.[A-Za-z_]+\s*\)")
_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)
    |(?P<string>[bBrR]{0,2}(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<field>\blog\s*\.\s*(?P<name>[A-Za-z_]\w*)(?!\s*\(|\w))
    |(?P<item>\blog\s*\[\s*["'](?P<key>\w+)["']\s*\])
    |\.\s*(?P<call>[A-Za-z_]\w*)\s*\(
    |(?P<open>[(\[{])|(?P<close>[)\]}])""",
    re.VERBOSE | re.DOTALL,
)


class ExpressionError(ValueError):
    """The expression is invalid. The message says why and where, without repeating the expression."""


class Expression:
    """One compiled expression."""

    def __init__(self, source: str) -> None:
        self._run = _environment().compile(source)

    def matches(self, log: Any) -> bool:
        """Return whether the expression is true of a log.

        Raises: ExpressionError if it fails on this log or returns no boolean.
        """
        result = self._run.eval(log)
        value = result.value()
        if value is True:
            return True
        if value is False:
            return False
        raise ExpressionError(
            _failure_reason(str(value)) if result.type().name() == "ERROR" else "it returned no boolean"
        )


Activation = Any
"""A log prepared for expressions: an object of the library."""


def compile_expression(source: str) -> Expression:
    """Compile an expression that was validated when its rule was saved.

    Raises: ExpressionError.
    """
    try:
        return _compiled(source)
    except (RuntimeError, TypeError):
        raise ExpressionError("it cannot be compiled") from None


@lru_cache(4096)
def _compiled(source: str) -> Expression:
    return Expression(source)


def activation(log: LogVersion) -> Activation:
    """Prepare a log for any number of expressions."""
    return _activation_of(as_map(log))


def _activation_of(fields: Mapping[str, Value]) -> Activation:
    """Prepare the fields of a log for any number of expressions."""
    return _environment().Activation({"log": dict(fields)})


def as_map(log: LogVersion) -> dict[str, Value]:
    """Return a log as expressions see it."""
    return {
        "sid": log.sid,
        "account_sid": log.account_sid,
        "log_type": log.log_type,
        **log_fields.shown(log_fields.values_of(log)),
        "occurred_at": rfc3339(log.occurred_at),
        "changed_at": rfc3339(log.changed_at),
        "final": log.final,
    }


def check_expression(source: str) -> None:
    """Reject an expression that does not compile, returns no boolean, uses unknown fields, or may run long.

    Raises: ExpressionError, with the position.
    """
    if len(source) > MAX_CHARACTERS:
        raise ExpressionError(f"is longer than {MAX_CHARACTERS:,} characters")
    _check_shape(source)
    try:
        # The map has every field, so `has` is always true, though the check knows only the field's type.
        checked = _checking_environment().compile(_HAS.sub(lambda found: "true".ljust(len(found[0])), source))
    except (RuntimeError, TypeError) as error:
        raise ExpressionError(_compile_error(str(error))) from None
    if checked.return_type().name() not in {"BOOL", "DYN", "bool_wrapper"}:
        raise ExpressionError("must return true or false, such as log.error_code == 30003")
    _check_run(compile_expression(source))


def _check_shape(source: str) -> None:
    """Check the tokens: fields must exist, and macros must not be nested."""
    inside: list[bool] = []
    macros = 0
    for token in _TOKEN.finditer(source):
        if name := token["name"]:
            if name not in FIELDS:
                raise ExpressionError(
                    f"a log has no such field{_position(source, token.start('name'))}; it has {', '.join(FIELDS)}"
                )
        elif call := token["call"]:
            if call in _MACROS and any(inside):
                raise ExpressionError(f"macros must not be nested{_position(source, token.start('call'))}")
            inside.append(call in _MACROS)
            macros += call in _MACROS
        elif token["open"]:
            inside.append(False)
        elif token["close"] and inside:
            inside.pop()
    if macros and len(source) > MAX_CHARACTERS_WITH_MACRO:
        raise ExpressionError(f"with a macro must not be longer than {MAX_CHARACTERS_WITH_MACRO:,} characters")


def literal_patterns(source: str) -> Iterator[tuple[str, str]]:
    """Return the literal patterns in calls of `matches()`, each with its position."""
    awaited: int | None = None
    for token in _TOKEN.finditer(source):
        if token["string"] and awaited is not None and not source[awaited : token.start()].strip():
            value = _environment().compile(token["string"]).eval(_activation_of({})).value()
            if isinstance(value, str):
                yield value, _position(source, token.start())
        awaited = token.end() if token["call"] == "matches" else None


def reads_text(source: str) -> bool:
    """Return whether an expression reads the text of a log."""
    return any(token["name"] == "text" for token in _TOKEN.finditer(source))


def compared_values(source: str) -> Iterator[tuple[str, str, str]]:
    """Return the literal values that fields are compared with, by `==` or `!=` from either side, or `in` a list.

    Returns: for each the field, the value as text, and its position.
    """
    for token in _TOKEN.finditer(source):
        field = token["name"] or token["key"]
        if field is None or _CONTINUED.match(source, token.end()):
            continue
        after, before = _COMPARED.match(source, token.end()), _COMPARED_BEFORE.search(source[: token.start()])
        for found, part in ((before, "value"), (after, after.lastgroup or "" if after else "")):
            for literal in _LITERAL.finditer(source, found.start(part), found.end(part)) if found else ():
                yield field, literal["text"] or literal["number"] or "", _position(source, literal.start())


_PLAIN = r"""(?:"[^"\\\n]*"|'[^'\\\n]*'|[0-9]+)"""
_COMPARED = re.compile(
    rf"\s*(?:[=!]=\s*(?P<value>{_PLAIN})|in\s*\[\s*(?P<list>{_PLAIN}(?:\s*,\s*{_PLAIN})*)\s*,?\s*\])(?!\s*[+.\[])"
)
_COMPARED_BEFORE = re.compile(rf"(?:^|[(\[{{,:?!&|])\s*(?P<value>{_PLAIN})\s*[=!]=\s*$")
_CONTINUED = re.compile(r"\s*[+.\[]")
"""A field that is changed before it is compared."""
_LITERAL = re.compile(r"""(?P<quote>["'])(?P<text>[^"'\\\n]*)(?P=quote)|(?P<number>[0-9]+)""")


def _position(source: str, offset: int) -> str:
    line = source.count("\n", 0, offset) + 1
    return f", at line {line}, character {offset - source.rfind(chr(10), 0, offset)}"


def _check_run(expression: Expression) -> None:
    """Run it over a long log. The best of three runs counts: the machine may be busy."""
    best = min(_seconds(expression) for _ in range(3))
    if best > MAX_SECONDS:
        raise ExpressionError("takes too long over a long log: use shorter lists and fewer macros")


def _seconds(expression: Expression) -> float:
    log: dict[str, Value] = dict.fromkeys(FIELDS, "ab " * 533)
    log |= {"error_code": 30003, "duration_seconds": 60, "segments": 1, "final": True, "price": "-0.0075"}
    log |= {"occurred_at": "2026-11-23T06:09:00Z", "changed_at": "2026-11-23T06:09:00Z"}
    ready = _activation_of(log)
    began = time.perf_counter()
    with suppress(ExpressionError):  # It may fail on a log, which then does not match.
        expression.matches(ready)
    return time.perf_counter() - began


@cache
def _environment() -> Any:
    """Build the environment for running: `log` is one map."""
    return cel.NewEnv(variables={"log": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})


@cache
def _checking_environment() -> Any:
    """Build the environment for checks: typed fields, and the map for `log["from"]` and `has()`."""
    fields = {f"log.{name}": kind for name, kind in FIELDS.items()}
    return cel.NewEnv(variables={**fields, "log": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})


_FAILURES = {
    "No matching overload": "an operation met a value of a type that it does not take, such as null",
    "Key not found": "it asked for a key that is not there",
    "Index error": "it asked for an item that is not there",
    "divide by zero": "it divided by zero",
    "modulus by zero": "it divided by zero",
    "overflow": "a number became too large",
    "regular expression": "a pattern given to matches() cannot be used",
    "convert": "a text could not be converted",
    "conversion failed": "a text could not be converted",
    "Iteration budget": "it took too many steps",
}


def _failure_reason(error: str) -> str:
    """Return why an evaluation failed. The library's message is not used: it may contain data of the log."""
    return next((words for part, words in _FAILURES.items() if part in error), "it could not be evaluated")


_ERROR_POSITION = re.compile(r"<input>:(\d+):(\d+): (.*)")


def _compile_error(error: str) -> str:
    """Describe the compiler's error and its position."""
    if "recursion" in error:
        return "is nested too deeply: at most 32 levels"
    if found := _ERROR_POSITION.search(error):
        line, column, words = found.groups()
        return f"{_error_text(words)}, at line {line}, character {column}"
    return "is no CEL expression"


def _error_text(message: str) -> str:
    if message.startswith("found no matching overload"):
        types = re.sub(r"wrapper\((\w+)\)", r"\1 or null", message.rpartition("applied to ")[2].strip("'"))
        hint = "; a price is a text: write double(log.price)" if "string" in types and "double" in types else ""
        return f"an operation does not take the types {types}{hint}"
    if message.startswith("undeclared reference"):
        return "names something that is not known; a log's fields are written log.error_code"
    return "is no CEL expression"
