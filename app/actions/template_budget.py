"""What one rendering of a user's template may use: steps, characters, time; and how much a value weighs."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from jinja2.exceptions import SecurityError

MOST_STEPS = 5_000
MOST_CHARACTERS = 256 * 1024
MOST_SECONDS = 1.0
LARGEST_NUMBER = 10**15
WEIGHT_OF_AN_ITEM = 8
"""In characters: about what an item takes when it is written."""


@dataclass
class Budget:
    """What one rendering may still use."""

    steps: int = MOST_STEPS
    characters: int = MOST_CHARACTERS
    ends_at: float = field(default_factory=lambda: time.monotonic() + MOST_SECONDS)

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
    elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise SecurityError("a number is too large")
    else:
        budget.get().step()
    return value


def _weigh(value: Any) -> None:
    """Refuse a value that is too large when written out.

    A list may hold another many times: it is small where it stands, and endless to write, compare or sort. What it
    holds is counted as often as it is held, so that no value costs more than so much, whatever is done with it.
    """
    left, waiting = MOST_CHARACTERS, [value]
    while waiting:
        each = waiting.pop()
        left -= WEIGHT_OF_AN_ITEM
        if isinstance(each, str):
            left -= len(each)
        elif isinstance(each, Mapping):
            waiting += each
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
        if left < len(waiting):
            raise SecurityError("it makes too much text")
