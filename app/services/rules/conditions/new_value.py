"""`new_value`: a match carries a value that no match carried in the lookback. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from app.services.rules.episodes import Point
from app.services.rules.types import NewValueParams


class Seen(NamedTuple):
    """What is known of one value within a group."""

    since_at: datetime
    """When it was last new."""
    last_at: datetime
    """When a match last carried it."""


def learn(params: NewValueParams, seen: Seen | None, times: Sequence[datetime]) -> tuple[Seen, list[bool]]:
    """Take in the matches that carry one value, and say which of them are new with it.

    Args:    times: when, sorted; at least one.
    Returns: what is known afterwards, and one answer a match.
    """
    lookback = timedelta(days=params.lookback_days)
    novel = []
    since_at, last_at = seen if seen is not None else (times[0], times[0])
    known = seen is not None
    for at in times:
        fresh = not known or at - last_at > lookback or at < since_at
        if fresh:
            since_at = at
        last_at = max(last_at, at)
        known = True
        novel.append(fresh)
    return Seen(since_at, last_at), novel


def opens(points: Sequence[Point]) -> list[bool]:
    """Say for each match whether the condition holds at it."""
    return [point.novel and not point.counted for point in points]
