"""A small, obvious evaluator of `each`, `threshold` and `new_value`: everything is known, nothing is incremental."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple


class Match(NamedTuple):
    """One match of a rule, by Twilio's time."""

    at: datetime
    value: object = None
    sid: str = ""


class Expected(NamedTuple):
    """One alert that there must be."""

    started_at: datetime
    resolved_at: datetime
    occurrences: int


def is_new(match: Match, matches: Sequence[Match], lookback: timedelta) -> bool:
    """Say whether no match before this one carried its value in the lookback."""
    before = [other.at for other in matches if other.value == match.value and other.at < match.at]
    return match.value is not None and not any(match.at - at <= lookback for at in before)


def alerts(
    matches: Sequence[Match],
    quiet: timedelta,
    *,
    count: int = 1,
    resolve_count: int | None = None,
    window: timedelta = timedelta(0),
    lookback: timedelta | None = None,
) -> list[Expected]:
    """Walk through all matches in the order of time, and list the alerts of one group, all of them over.

    Args:
        count, resolve_count, window: of a `threshold`; the others fire at one match.
        lookback: of a `new_value`.
    """
    ordered = sorted(matches, key=lambda match: (match.at, match.sid))
    found: list[Expected] = []
    position = 0
    while position < len(ordered):
        at = ordered[position].at
        within = [match for match in ordered if at - window < match.at <= at or match.at == at]
        holds = len(within) >= count
        if lookback is not None:
            holds = is_new(ordered[position], ordered, lookback)
        if not holds:
            position += 1
            continue
        last, members = at, {id(match) for match in within}
        while True:
            left = resolve_count or count
            full = [match for match in ordered if match.at <= last][-left:]
            ends_at = last + quiet
            if window and len(full) == left:
                ends_at = max(ends_at, full[0].at + window)
            following = [match for match in ordered[position + 1 :] if match.at <= ends_at]
            members |= {id(match) for match in following}
            if not following or following[-1].at == last:
                break
            last = following[-1].at
        found.append(Expected(at, ends_at, len(members)))
        position = max(index for index, match in enumerate(ordered) if match.at <= last) + 1
    return found
