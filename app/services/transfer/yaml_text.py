"""YAML restricted to JSON's values: texts, numbers, booleans, null, lists and objects. Pure.

`NO` is a country and not "false", `+14155550100` is a text and not a number, a time is a text and not a date. Aliases
are rejected, because a short document could expand without limit, and so are duplicate keys.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from app.errors import FieldError, InvalidInput

MAX_DEPTH = 32
MAX_EVENTS = 1_000_000
_PLAIN = {
    "tag:yaml.org,2002:bool": (r"^(?:true|false)$", "tf"),
    "tag:yaml.org,2002:null": (r"^(?:null|~|)$", ["n", "~", ""]),
    "tag:yaml.org,2002:int": (r"^-?(?:0|[1-9][0-9]{0,17})$", "-0123456789"),
    "tag:yaml.org,2002:float": (r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,2})?$", "-0123456789"),
}


class _Loader(yaml.CSafeLoader):
    """The safe loader with JSON's scalars only."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - shared on purpose


class _Dumper(yaml.CSafeDumper):
    """The safe dumper; it quotes any text that YAML 1.1, or our loader, could read as another type."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the library's signature
        return True


for _tag, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))
    # In YAML 1.1, 1e3 is not a number. Without this it would be written unquoted and read as a number.
    _Dumper.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


def dump(value: Any) -> str:
    """Write values as YAML, keys in their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def load(text: str) -> Any:
    """Parse a document.

    Raises: InvalidInput with the position of the error.
    """
    loader = None
    try:
        _measure(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise _refused(_where(error)) from None
    except (yaml.YAMLError, ValueError):
        raise _refused("is not YAML, or holds something that is no text, number, list or object") from None
    finally:
        if loader is not None:
            loader.dispose()


def _measure(text: str) -> None:
    """Reject deep nesting, endless documents and aliases before the library recurses into them."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            raise _refused(f"must not use aliases{_line(event)}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or count > MAX_EVENTS:
            raise _refused(f"is nested too deep, or too long{_line(event)}")


def _check(root: yaml.Node) -> None:
    """Reject duplicate keys."""
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.MappingNode):
            names: list[Hashable] = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(names) != len(node.value) or len(set(names)) != len(names):
                raise _refused(f"names a key twice, or has a key that is no text{_line(node)}")
            pending += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            pending += node.value


def _where(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    return "is not YAML" if mark is None else f"is not YAML: syntax error in line {mark.line + 1}"


def _line(node: yaml.Node | yaml.Event) -> str:
    return "" if node.start_mark is None else f", in line {node.start_mark.line + 1}"


def _refused(message: str) -> InvalidInput:
    return InvalidInput([FieldError("body", message)])
