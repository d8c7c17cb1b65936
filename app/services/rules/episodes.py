"""Episodes of `each`, `threshold` and `new_value`: which matches belong together, and which may alert now. Pure.

Episodes depend only on Twilio's times, not on the order in which matches arrive. An episode opens with a match for
which the condition holds, contains every match up to its end, and ends when no match follows within the rule's quiet
period. An end is certain only when the streams are complete up to it: until then later matches wait.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID


class Point(NamedTuple):
    """One match. Points sort by Twilio's time."""

    at: datetime
    sid: str
    log_id: int
    error_code: int | None
    alert_id: UUID | None = None
    """The open or resolved alert that it counts towards already."""
    new_value: str | None = None
    """For `new_value`: its value as JSON, if that is new."""
    account_id: int | None = None

    @property
    def counted(self) -> bool:
        """Return whether it counts towards an alert already."""
        return self.alert_id is not None


class OpenEpisode(NamedTuple):
    """An episode with an open alert."""

    window_from: datetime
    """Later matches count: for `threshold` the start of the window that fired."""
    started_at: datetime
    last_at: datetime
    alert_id: UUID | None = None


class Episode(NamedTuple):
    """Matches that belong together."""

    window_from: datetime
    started_at: datetime
    last_at: datetime
    ends_at: datetime
    """When it ends unless another match follows."""
    points: tuple[Point, ...]
    """Its new matches, oldest first, without those that the open alert has already."""
    shared: int
    """The number of its matches that also count towards the previous alert or the open one that follows."""
    continues: bool
    """It continues the open alert."""


class EpisodeUpdate(NamedTuple):
    """The part of an episode to record now."""

    episode: Episode
    resolved: bool
    """The streams are complete up to its end, so it is over."""


class _EpisodeBuilder:
    """An episode under construction."""

    def __init__(self, window_from: datetime, started_at: datetime, continues: bool) -> None:
        self.window_from = window_from
        self.started_at = self.last_at = self.ends_at = started_at
        self.points: list[Point] = []
        self.shared = 0
        self.continues = continues


class WindowSaturation:
    """Computes until when windows are too full for a `threshold` alert to be over."""

    def __init__(self, times: Sequence[datetime], count: int, window: timedelta) -> None:
        self._times, self._count, self._window = times, count, window

    def saturated_until(self, last_at: datetime) -> datetime | None:
        """Return when the window falls below the count if nothing follows `last_at`; None if it is below."""
        index = bisect_right(self._times, last_at) - self._count
        return self._times[index] + self._window if index >= 0 else None


def find_episodes(
    points: Sequence[Point],
    opens: Sequence[bool],
    quiet: timedelta,
    open_episode: OpenEpisode | None,
    window: timedelta = timedelta(0),
    saturation: WindowSaturation | None = None,
) -> list[Episode]:
    """Combine matches into episodes, oldest first.

    Args:
        points: sorted; those that count already only fill windows.
        opens: for each point, whether the condition holds at it.
        quiet: an episode ends after this long without a match.
        span: the open alert, if any; its own points may be omitted.
        window: a new episode includes the matches of this long before it opens.
    """
    found: list[_EpisodeBuilder] = []
    current: _EpisodeBuilder | None = None
    skipped: list[Point] = []
    unjoined = open_episode

    def extend(episode: _EpisodeBuilder, last_at: datetime) -> None:
        episode.last_at = max(episode.last_at, last_at)
        episode.ends_at = episode.last_at + quiet
        saturated_until = saturation.saturated_until(episode.last_at) if saturation else None
        if saturated_until is not None:
            episode.ends_at = max(episode.ends_at, saturated_until)

    def join_open_episode(open_episode: OpenEpisode) -> _EpisodeBuilder:
        nonlocal current
        if current is None or open_episode.started_at > current.ends_at:
            current = _EpisodeBuilder(open_episode.window_from, open_episode.started_at, True)
            found.append(current)
            current.points += [each for each in skipped if each.at > open_episode.window_from]
        current.continues = True
        current.window_from = min(current.window_from, open_episode.window_from)
        extend(current, open_episode.last_at)
        skipped.clear()
        return current

    times = [point.at for point in points]
    for index, (point, opens_here) in enumerate(zip(points, opens, strict=True)):
        if unjoined is not None and point.at >= unjoined.started_at:
            join_open_episode(unjoined)
            unjoined = None
        if current is not None and point.at <= current.ends_at:
            if not point.counted:
                current.points.append(point)
                extend(current, point.at)
            elif unjoined is not None and point.alert_id == unjoined.alert_id:
                # The open alert's window overlaps this episode, which may extend as far as that alert.
                current.shared += 1
                extend(current, point.at)
        elif opens_here:
            current = _EpisodeBuilder(point.at - window, point.at, False)
            found.append(current)
            # Twilio's times do not order matches of the same moment: all of them belong to it.
            joining = [each for each in (*skipped, point) if each.at > point.at - window or each.at == point.at]
            current.points += [each for each in joining if not each.counted]
            # The window contains earlier matches, even those of earlier alerts.
            in_window = index + 1 - bisect_right(times, point.at - window, hi=index)
            current.shared = in_window - len(current.points) if window else 0
            extend(current, point.at)
            skipped.clear()
        else:
            skipped.append(point)
    if unjoined is not None:
        join_open_episode(unjoined)
    return [
        Episode(
            each.window_from,
            each.started_at,
            each.last_at,
            each.ends_at,
            tuple(point for point in each.points if not point.counted),
            0 if each.continues else each.shared,
            each.continues,
        )
        for each in found
        if each.continues or any(not point.counted for point in each.points)
    ]


def split_by_completeness(
    episodes: Sequence[Episode], horizon: datetime | None
) -> tuple[list[EpisodeUpdate], list[Episode]]:
    """Split episodes into updates to record now, and episodes that wait for the streams to be complete.

    Firing needs no completeness, ending does. At most one episode stays open: that of the open alert, or else the
    oldest that is not over.

    Args:    horizon: up to when the rule's streams are complete; None if unknown.
    Returns: updates, oldest first, at most one of them unresolved; and the waiting episodes.
    """
    updates: list[EpisodeUpdate] = []
    waiting: list[Episode] = []
    slot_taken = any(episode.continues for episode in episodes)
    blocked = False
    for episode in episodes:
        over = horizon is not None and episode.ends_at <= horizon
        if episode.continues:
            slot_taken = False
        if (blocked or slot_taken) and not (slot_taken and not blocked and over):
            waiting.append(episode)
            continue
        updates.append(EpisodeUpdate(episode, over))
        blocked = blocked or not over
    return updates, waiting
