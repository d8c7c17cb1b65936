"""Secrets by reference: `${GIFTPULSE_...}` in a document names a variable of the server's environment. Pure.

Only variables with this prefix are allowed, so that a document cannot leak the server's other secrets.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import FieldError, InvalidInput
from app.utils.redact import HIDDEN

REFERENCE = re.compile(r"\$\{(GIFTPULSE_[A-Z0-9_]{1,100})\}")
OTHER_REFERENCE = re.compile(r"\$\{(?!GIFTPULSE_[A-Z0-9_]{1,100}\})([A-Za-z_][A-Za-z0-9_]{0,100})\}")
TEMPLATES = ("body", "subject")
"""Fields of a config in which `${...}` is ordinary text."""


def resolve(value: Any, environment: Mapping[str, str], path: str) -> Any:
    """Replace references with the variables' values.

    Raises: InvalidInput, naming the field, if a variable is not set or not allowed. A receiver that got the reference
            itself would refuse it for no visible reason.
    """
    unresolved = [
        FieldError(where, f"names the variable {name}: only those that begin with GIFTPULSE_ can be named")
        for where, text in texts(value, path)
        if where not in [f"{path}.{name}" for name in TEMPLATES]
        for name in OTHER_REFERENCE.findall(text)
    ]
    unresolved += [
        FieldError(where, f"names the variable {name}, which is not set on the server")
        for where, text in texts(value, path)
        for name in REFERENCE.findall(text)
        if name not in environment
    ]
    if unresolved:
        raise InvalidInput(unresolved)
    return _map(value, lambda text: REFERENCE.sub(lambda found: environment[found[1]], text))


def used(value: Any) -> dict[str, str]:
    """Return the texts that refer to variables, by their path in the value."""
    return {path: text for path, text in texts(value, "") if REFERENCE.search(text)}


def restore(shown: Any, clear: Any, references: Mapping[str, str], environment: Mapping[str, str]) -> Any:
    """Restore the references of an imported value that still resolve to the stored value."""
    stored = dict(texts(clear, ""))

    def put_back(path: str, text: str) -> str:
        template = references.get(path)
        if template is None or any(name not in environment for name in REFERENCE.findall(template)):
            return text
        meant = REFERENCE.sub(lambda found: environment[found[1]], template)
        return template if stored.get(path) == meant else text

    return _map_paths(shown, "", put_back)


def masked(value: Any, path: str) -> list[FieldError]:
    """Find masked secrets of a new object: there is no stored secret that they could keep."""
    message = "is masked: give the secret, or name a variable of the server, such as ${GIFTPULSE_WEBHOOK_SECRET}"
    return [FieldError(where, message) for where, text in texts(value, path) if HIDDEN in text]


def texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Iterate over all texts of a value with their paths."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from texts(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from texts(part, f"{path}.{index}" if path else str(index))


def _map(value: Any, change: Any) -> Any:
    return _map_paths(value, "", lambda _path, text: change(text))


def _map_paths(value: Any, path: str, change: Any) -> Any:
    if isinstance(value, str):
        return change(path, value)
    if isinstance(value, dict):
        return {name: _map_paths(part, f"{path}.{name}" if path else name, change) for name, part in value.items()}
    if isinstance(value, list):
        return [_map_paths(part, f"{path}.{index}" if path else str(index), change) for index, part in enumerate(value)]
    return value
