"""The budget for rendering a user's template: steps, characters and time; and the weight of values."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from jinja2.exceptions import SecurityError

MAX_STEPS = 5_000
MAX_CHARACTERS = 256 * 1024
MAX_SECONDS = 1.0
MAX_NUMBER = 10**15
ITEM_WEIGHT = 8
"""The approximate length of a written item, in characters."""


@dataclass
class Budget:
    """The remaining budget of one rendering."""

    steps: int = MAX_STEPS
    characters: int = MAX_CHARACTERS
    ends_at: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def step(self) -> None:
        """Count one step.

        Raises: SecurityError.
        """
        self.steps -= 1
        if self.steps < 0 or time.monotonic() > self.ends_at:
            raise SecurityError("it takes too many steps")

    def spend(self, characters: int) -> None:
        """Count a step that creates this many characters or list items.

        Raises: SecurityError.
        """
        self.step()
        self.characters -= characters
        if self.characters < 0:
            raise SecurityError("it makes too much text")


budget: ContextVar[Budget] = ContextVar("budget")


def spend(value: Any) -> Any:
    """Count a new value and return it.

    Raises: SecurityError.
    """
    if isinstance(value, str | list | tuple | dict):
        budget.get().spend(len(value))
        if not isinstance(value, str):
            _weigh(value)
    elif isinstance(value, int) and abs(value) > MAX_NUMBER:
        raise SecurityError("a number is too large")
    else:
        budget.get().step()
    return value


def _weigh(value: Any) -> None:
    """Reject a value that is too large when written out.

    A list may contain another many times: it is small in memory, but huge to write, compare or sort. Its items are
    counted as often as they occur, which bounds the cost of every operation.
    """
    left, pending = MAX_CHARACTERS, [value]
    while pending:
        each = pending.pop()
        left -= ITEM_WEIGHT
        if isinstance(each, str):
            left -= len(each)
        elif isinstance(each, Mapping):
            pending += each
            pending += each.values()
        elif isinstance(each, list | tuple):
            pending += each
        if left < len(pending):
            raise SecurityError("it makes too much text")
