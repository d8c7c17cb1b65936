"""What one rendering of a user's template may use: steps, characters, time; and how much a value weighs."""

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
"""In characters: about what an item takes when it is written."""


@dataclass
class Budget:
    """What one rendering may still use."""

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
        """Count a step that makes so many characters, or items of a list.

        Raises: SecurityError.
        """
        self.step()
        self.characters -= characters
        if self.characters < 0:
            raise SecurityError("it makes too much text")


budget: ContextVar[Budget] = ContextVar("budget")


def spend(value: Any) -> Any:
    """Count a new value, and return it.

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
    """Refuse a value that is too large when written out.

    A list may hold another many times: it is small where it stands, and endless to write, compare or sort. What it
    holds is counted as often as it is held, so that no value costs more than so much, whatever is done with it.
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
