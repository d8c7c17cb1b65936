"""`new_value`: a match carries a value that no match carried in the lookback. Pure.

What is known of a value are its runs: matches that follow each other within the lookback. They say the same whatever
the order in which matches come to be known.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from app.services.rules.episodes import Point


class ValueRun(NamedTuple):
    """Matches that carry one value, none further from the next than the lookback."""

    since_at: datetime
    """When the first was: with it the value was new."""
    last_at: datetime


def is_new(runs: Sequence[ValueRun], at: datetime, lookback: timedelta) -> bool:
    """Say whether no match before this moment carried the value in the lookback."""
    return not any(run.since_at < at <= run.last_at + lookback for run in runs)


def add_run(runs: Sequence[ValueRun], added: ValueRun, lookback: timedelta) -> list[ValueRun]:
    """Return the runs, oldest first, with one more, which may join some of them."""
    near = [
        run for run in runs if run.since_at - lookback <= added.last_at and added.since_at <= run.last_at + lookback
    ]
    joined = ValueRun(min(run.since_at for run in [added, *near]), max(run.last_at for run in [added, *near]))
    return [joined] if len(near) == len(runs) else sorted([joined, *(run for run in runs if run not in near)])


def opens(points: Sequence[Point]) -> list[bool]:
    """Say for each match whether the condition holds at it."""
    return [point.new_value is not None and not point.counted for point in points]
