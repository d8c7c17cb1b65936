"""The filters and operators of users' templates that differ from Jinja's: each counts its work against the budget."""

import functools
import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Undefined
from jinja2.exceptions import SecurityError

from app.actions.template_budget import budget, spend

MAX_RANGE = 1_000


class JsonText(str):
    """A text that is JSON already."""

    __slots__ = ()


def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Count the result of each call against the budget."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return spend(function(*args, **kwargs))

    return call


def each(values: Any) -> Iterator[Any]:
    """Iterate over a loop's items and count each step."""
    for value in values:
        budget.get().step()
        yield value


def concat(parts: Sequence[Any]) -> str:
    """Join values as texts: the operator `~`."""
    texts = [plain(part) for part in parts]
    budget.get().spend(sum(map(len, texts)))
    return "".join(texts)


def plain(value: Any) -> str:
    """Convert a value to text, as templates show it."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, Undefined):
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return to_json(value)


def to_json(value: Any) -> JsonText:
    """Write a value as JSON; undefined values are null."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_undefined_as_null)
    except (TypeError, ValueError, RecursionError):
        raise SecurityError("a value cannot be written as JSON") from None
    budget.get().spend(len(text))
    return JsonText(text)


def _undefined_as_null(value: Any) -> Any:
    if isinstance(value, Undefined):
        return None
    raise TypeError


def join(values: Any, separator: str = "", attribute: str | None = None) -> str:
    """Join the items of a list, or one attribute of each."""
    items = list(each(values))
    if attribute is not None:
        items = [item.get(attribute) if isinstance(item, Mapping) else None for item in items]
    texts = [plain(item) for item in items]
    budget.get().spend(sum(map(len, texts)) + len(separator) * len(texts))
    return str(separator).join(texts)


def replace(value: Any, old: str, new: str) -> str:
    """Replace every occurrence of a text."""
    text = plain(value)
    if not old:
        raise SecurityError("replace needs a text to look for")
    budget.get().spend(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def round_number(value: Any, precision: int = 0) -> float:
    """Round to at most ten digits."""
    if not isinstance(precision, int) or not 0 <= precision <= 10:
        raise SecurityError("round takes 0 to 10 digits")
    return round(float(value), precision)


def total(values: Any, attribute: str | None = None, start: float = 0) -> Any:
    """Add up the items of a list, or one attribute of each."""
    for value in each(values):
        start = _add(start, value.get(attribute) if attribute is not None and isinstance(value, Mapping) else value)
    return start


def bounded_range(*bounds: int) -> range:
    """Return a range of limited length."""
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise SecurityError(f"range goes to {MAX_RANGE} at most")
    return numbers


def _numbers_only(name: str, work: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise SecurityError(f"{name} takes numbers")
        return spend(work(left, right))

    return apply


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return concat([left, right])
    if isinstance(left, list) and isinstance(right, list):
        return spend(left + right)
    return _numbers_only("+", operator.add)(left, right)


OPERATORS = {
    "+": _add,
    "-": _numbers_only("-", operator.sub),
    "*": _numbers_only("*", operator.mul),
    "/": _numbers_only("/", operator.truediv),
    "//": _numbers_only("//", operator.floordiv),
    "%": _numbers_only("%", operator.mod),
}


def as_json(value: Any) -> str:
    """Write a value into JSON: a text as between quotation marks, everything else as JSON."""
    if isinstance(value, JsonText):
        return value
    if isinstance(value, Undefined):
        return ""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)[1:-1]
    if isinstance(value, float) and not math.isfinite(value):
        raise SecurityError("a number is not finite")
    return to_json(value)
