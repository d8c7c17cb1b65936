"""Users' templates: a small subset of Jinja2 that can read only its variables and always terminates.

A template may branch, loop over short lists, and use the filters listed here. It has no macros, recursion, imports or
attributes other than JSON's. Everything that makes texts or lists longer is counted against a budget, so the time and
memory of a rendering are bounded for every template.
"""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2 import ChainableUndefined, Template, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS as ALL_FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS as ALL_TESTS

from app.actions.facts import format_time
from app.actions.template_budget import Budget, budget, spend
from app.actions.template_functions import (
    OPERATORS,
    as_json,
    bounded_range,
    concat,
    counted,
    each,
    join,
    plain,
    replace,
    round_number,
    to_json,
    total,
)
from app.utils.console_links import console_url

MAX_SOURCE_LENGTH = 16 * 1024
UNUSABLE = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MAX_DEPTH = 40
MAX_LOOP_DEPTH = 3

NODES: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.If, nodes.For, nodes.Assign, nodes.With, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call,
    nodes.Keyword, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add,
    nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Concat, nodes.List, nodes.Tuple, nodes.Dict,
    nodes.Pair, nodes.Scope,
)  # fmt: skip
FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "sort",
    "string", "title", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
)  # fmt: skip
TESTS = (
    "boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "float", "ge", "greaterthan", "gt", "in",
    "integer", "iterable", "le", "lessthan", "lower", "lt", "mapping", "ne", "none", "number", "odd", "sequence",
    "string", "true", "undefined", "upper", "==", "!=", ">", ">=", "<", "<=",
)  # fmt: skip
TEXT_METHODS = frozenset(
    {"startswith", "endswith", "lower", "upper", "strip", "lstrip", "rstrip", "title", "capitalize", "split", "isdigit"}
)
MAPPING_METHODS = frozenset({"get", "items", "keys", "values"})
LOOP_NAMES = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "cycle"}
)


class UnusableTemplate(ValueError):
    """The template is invalid. The message says where and why, without repeating values."""


class EmptyResult(UnusableTemplate):
    """The template rendered to nothing."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(OPERATORS)

    def __init__(self, finalize: Callable[[Any], str]) -> None:
        super().__init__(optimized=False, undefined=ChainableUndefined, autoescape=False, finalize=finalize)
        self.filters = {name: counted(ALL_FILTERS[name]) for name in FILTERS} | {
            "_each": each,
            "_concat": concat,
            "_built": spend,
            "tojson": to_json,
            "join": join,
            "replace": replace,
            "round": round_number,
            "sum": total,
            "when": format_time,
            "console_url": console_url,
        }
        self.tests = {name: ALL_TESTS[name] for name in TESTS}
        self.globals = {"range": bounded_range}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Allow the methods whose results are not longer than their input."""
        if isinstance(obj, Undefined):
            return not attr.startswith("_")
        if isinstance(obj, str):
            return attr in TEXT_METHODS
        if isinstance(obj, dict):
            return attr in MAPPING_METHODS
        return isinstance(obj, LoopContext) and attr in LOOP_NAMES

    def is_safe_callable(self, obj: Any) -> bool:
        """Allow what `is_safe_attribute` allows, and `range`."""
        owner = getattr(obj, "__self__", None)
        return obj is bounded_range or isinstance(owner, str | dict | LoopContext)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        return OPERATORS[operator](left, right)

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.is_safe_callable(obj):
            raise SecurityError("this cannot be called")
        return spend(super().call(context, obj, *args, **kwargs))

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Raise for forbidden attributes, where the sandbox alone would show nothing."""
        raise SecurityError(f"{attribute} cannot be read")


_FOR_JSON = _Environment(as_json)
_FOR_TEXT = _Environment(plain)


def _check(tree: nodes.Template) -> None:
    """Reject everything outside the language, and add counting to loops and concatenations."""
    pending: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while pending:
        node, depth, loops = pending.pop()
        if not isinstance(node, NODES) or (isinstance(node, nodes.For) and node.recursive):
            raise TemplateSyntaxError("this construct is not allowed", node.lineno)
        loops += isinstance(node, nodes.For)
        if depth > MAX_DEPTH or loops > MAX_LOOP_DEPTH:
            raise TemplateSyntaxError("it is nested too deeply", node.lineno)
        if _is_hidden(node):
            raise TemplateSyntaxError("names that begin with _ cannot be used", node.lineno)
        pending += [(child, depth + 1, loops) for child in node.iter_child_nodes()]
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _filtered("_each", loop.iter)
    for node in [tree, *tree.find_all(nodes.Node)]:
        _count_built(node)


def _is_hidden(node: nodes.Node) -> bool:
    name = getattr(node, "attr" if isinstance(node, nodes.Getattr) else "name", None)
    return isinstance(node, nodes.Getattr | nodes.Name | nodes.Filter) and str(name).startswith("_")


def _count_built(node: nodes.Node) -> None:
    """Replace `~` by a counting filter, and count lists where they are written."""
    for name, value in node.iter_fields():
        if isinstance(value, list):
            value[:] = [_counting(item) for item in value]
        else:
            setattr(node, name, _counting(value))


def _counting(part: Any) -> Any:
    if isinstance(part, nodes.Concat):
        return _filtered("_concat", nodes.List(part.nodes, lineno=part.lineno))
    is_target = getattr(part, "ctx", "load") != "load"
    if isinstance(part, nodes.List | nodes.Tuple | nodes.Dict) and not is_target:
        return _filtered("_built", part)
    return part


def _filtered(name: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


@functools.lru_cache(maxsize=256)
def _compile(source: str, environment: _Environment) -> Template:
    if len(source) > MAX_SOURCE_LENGTH:
        raise UnusableTemplate(f"must have at most {MAX_SOURCE_LENGTH} characters")
    if UNUSABLE.search(source):
        raise UnusableTemplate("must not contain control characters, halves of characters, or marks of direction")
    try:
        tree = environment.parse(source)
        _check(tree)
        return Template.from_code(environment, environment.compile(tree), dict(environment.globals))
    except TemplateSyntaxError as error:
        raise UnusableTemplate(f"line {error.lineno}: {_reason(error)}") from None
    except (SyntaxError, RecursionError, MemoryError, ValueError, OverflowError):
        raise UnusableTemplate("cannot be read: it is nested too deeply, or a number in it is too large") from None


def _reason(error: TemplateError) -> str:
    message = error.message or "cannot be read"
    return message if len(message) <= 200 else "cannot be read"


def _render(source: str, environment: _Environment, values: Mapping[str, Any], max_length: int) -> str:
    template = _compile(source, environment)
    token = budget.set(Budget())
    try:
        return _whole("".join(_bounded(template.generate(values), max_length)))
    except UnusableTemplate:
        raise
    except TemplateError as error:
        raise UnusableTemplate(f"{_line(error)}{_reason(error)}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise UnusableTemplate(f"{_line(error)}it fails with {type(error).__name__}") from None
    finally:
        budget.reset(token)


def _bounded(parts: Iterator[str], max_length: int) -> Iterator[str]:
    left = max_length
    for part in parts:
        budget.get().step()
        left -= len(part)
        if left < 0:
            raise UnusableTemplate(f"makes more than {max_length} characters")
        yield part


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnusableTemplate("makes half a character") from None
    return text


def _line(error: Exception) -> str:
    """Return the line of the template at which it failed."""
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"line {line}: " if line else ""


def render_json(source: str, values: Mapping[str, Any], max_length: int) -> bytes:
    """Render a template to JSON.

    Texts are escaped for use between quotation marks; `tojson` writes a complete value.

    Args:    max_length: the limit of the result, in characters.
    Raises:  UnusableTemplate; EmptyResult if it renders to nothing.
    """
    text = _render(source, _FOR_JSON, values, max_length)
    if not text.strip():
        raise EmptyResult("produces an empty text")
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise UnusableTemplate(f"does not produce JSON: {error.msg} at line {error.lineno} of the result") from None
    except (ValueError, RecursionError):
        raise UnusableTemplate("does not produce JSON") from None
    return text.encode()


def _refuse_constant(name: str) -> None:
    raise ValueError


def render_text(source: str, values: Mapping[str, Any], max_length: int) -> str:
    """Render a template to plain text.

    Raises: UnusableTemplate.
    """
    return _render(source, _FOR_TEXT, values, max_length)
