"""Validates every request body and text, so that it can be stored, shown and logged. Pure."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from app.errors import FieldError, InvalidInput

MAX_DEPTH = 32
MAX_INTEGER = 2**63 - 1
# Characters that reverse the writing direction of the text after them: they make one name look like another.
BIDI_OVERRIDES = re.compile("[\u202a-\u202e\u2066-\u2069]")
_TURNED_ENDS = re.compile("^[\u200e\u200f\u202a-\u202e\u2066-\u2069]+|[\u200e\u200f\u202a-\u202e\u2066-\u2069]+$")
SURROGATES = re.compile("[\ud800-\udfff]")


class Malformed(Exception):
    """The body is not JSON according to RFC 8259. The message says why and repeats none of the body."""


class _BadNumber:
    """Placeholder for a number that no field can store, until the field is known."""


def parse_json(body: bytes) -> Any:
    """Parse a JSON body.

    Raises: Malformed if it is not JSON or repeats a key of an object; InvalidInput for values that no field accepts:
        NaN, numbers beyond 64 bits, texts with NUL or lone surrogates, too deep nesting.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_number, parse_int=_integer, parse_float=_float
        )
    except json.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: it ends early or has an error at character {error.pos}") from None
    except RecursionError:
        raise _too_deep("body") from None
    check(value)
    return value


def check(value: Any) -> None:
    """Reject texts that cannot be stored, invalid numbers and too deep nesting at any level of the value.

    Raises: InvalidInput, naming the field.
    """
    errors = [FieldError(path or "body", message) for path, message in _faults(value)]
    if errors:
        raise InvalidInput(errors)


def text_error(text: str) -> str | None:
    """Return what is wrong with a text, or None."""
    if "\x00" in text:
        return "must not contain the character NUL"
    if SURROGATES.search(text):
        return "must not contain half of a surrogate pair"
    if BIDI_OVERRIDES.search(text):
        return "must not contain characters that change the writing direction"
    return None


def trim_direction(text: str) -> str:
    """Strip direction marks from both ends: numbers copied from chats carry them."""
    return _TURNED_ENDS.sub("", text)


def trim_list(text: str) -> str:
    """Do the same with each value of a list that is written with commas."""
    return ",".join(map(trim_direction, text.split(",")))


def _faults(value: Any) -> Iterator[tuple[str, str]]:
    """Walk without recursion, since the depth is not checked yet."""
    pending: list[tuple[str, Any, int]] = [("", value, 1)]
    while pending:
        path, item, depth = pending.pop()
        if isinstance(item, str):
            if error := text_error(item):
                yield path, error
        elif isinstance(item, _BadNumber):
            yield path, "must be a finite number of at most 64 bits"
        elif isinstance(item, (dict, list)):
            if depth > MAX_DEPTH:
                yield path, f"must not be nested more than {MAX_DEPTH} levels deep"
                return
            parts = item.items() if isinstance(item, dict) else enumerate(item)
            for name, part in parts:
                if isinstance(name, str) and text_error(name):
                    yield path or "body", "has a field with an invalid name"
                else:
                    pending.append((f"{path}.{name}" if path else str(name), part, depth + 1))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("the body repeats a key of an object")
    return found


def _no_number(_name: str) -> _BadNumber:
    return _BadNumber()


def _integer(digits: str) -> int | _BadNumber:
    if len(digits) > 20 or not -MAX_INTEGER - 1 <= int(digits) <= MAX_INTEGER:
        return _BadNumber()
    return int(digits)


def _float(digits: str) -> float | _BadNumber:
    number = float(digits)
    return number if math.isfinite(number) else _BadNumber()


def _too_deep(field: str) -> InvalidInput:
    return InvalidInput([FieldError(field, f"must not be nested more than {MAX_DEPTH} levels deep")])
