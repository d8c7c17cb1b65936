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

    def build(self) -> Episode:
        """Return the episode with its new matches."""
        points = tuple(point for point in self.points if not point.counted)
        shared = 0 if self.continues else self.shared
        return Episode(self.window_from, self.started_at, self.last_at, self.ends_at, points, shared, self.continues)


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
        open_episode: the open alert, if any; its own points may be omitted.
        window: a new episode includes the matches of this long before it opens.
    """
    finder = _EpisodeFinder([point.at for point in points], quiet, window, saturation, open_episode)
    for index, (point, opens_here) in enumerate(zip(points, opens, strict=True)):
        finder.add(index, point, opens_here=opens_here)
    return finder.finish()


class _EpisodeFinder:
    """Takes matches in their order, and builds episodes."""

    def __init__(
        self,
        times: Sequence[datetime],
        quiet: timedelta,
        window: timedelta,
        saturation: WindowSaturation | None,
        unjoined: OpenEpisode | None,
    ) -> None:
        self._times, self._quiet, self._window, self._saturation = times, quiet, window, saturation
        self._unjoined = unjoined
        """The open alert, until the matches reach its start."""
        self._found: list[_EpisodeBuilder] = []
        self._current: _EpisodeBuilder | None = None
        self._skipped: list[Point] = []
        """Matches since the last episode that belong to none so far."""

    def add(self, index: int, point: Point, *, opens_here: bool) -> None:
        """Process the next match."""
        if self._unjoined is not None and point.at >= self._unjoined.started_at:
            self._join_open_episode(self._unjoined)
        if self._current is not None and point.at <= self._current.ends_at:
            self._join(self._current, point)
        elif opens_here:
            self._open(index, point)
        else:
            self._skipped.append(point)

    def finish(self) -> list[Episode]:
        """Return the episodes with new matches, and that of the open alert."""
        if self._unjoined is not None:
            self._join_open_episode(self._unjoined)
        return [
            each.build() for each in self._found if each.continues or any(not point.counted for point in each.points)
        ]

    def _join(self, episode: _EpisodeBuilder, point: Point) -> None:
        if not point.counted:
            episode.points.append(point)
            self._extend(episode, point.at)
        elif self._unjoined is not None and point.alert_id == self._unjoined.alert_id:
            # The open alert's window overlaps this episode, which may extend as far as that alert.
            episode.shared += 1
            self._extend(episode, point.at)

    def _open(self, index: int, point: Point) -> None:
        since = point.at - self._window
        episode = self._begin(_EpisodeBuilder(since, point.at, False))
        # Twilio's times do not order matches of the same moment: all of them belong to it.
        joining = [each for each in (*self._skipped, point) if each.at > since or each.at == point.at]
        episode.points += [each for each in joining if not each.counted]
        # The window contains earlier matches, even those of earlier alerts.
        in_window = index + 1 - bisect_right(self._times, since, hi=index)
        episode.shared = in_window - len(episode.points) if self._window else 0
        self._extend(episode, point.at)
        self._skipped.clear()

    def _join_open_episode(self, opened: OpenEpisode) -> None:
        episode = self._current
        if episode is None or opened.started_at > episode.ends_at:
            episode = self._begin(_EpisodeBuilder(opened.window_from, opened.started_at, True))
            episode.points += [each for each in self._skipped if each.at > opened.window_from]
        episode.continues = True
        episode.window_from = min(episode.window_from, opened.window_from)
        self._extend(episode, opened.last_at)
        self._skipped.clear()
        self._unjoined = None

    def _begin(self, episode: _EpisodeBuilder) -> _EpisodeBuilder:
        self._current = episode
        self._found.append(episode)
        return episode

    def _extend(self, episode: _EpisodeBuilder, last_at: datetime) -> None:
        episode.last_at = max(episode.last_at, last_at)
        episode.ends_at = episode.last_at + self._quiet
        saturated_until = self._saturation.saturated_until(episode.last_at) if self._saturation else None
        if saturated_until is not None:
            episode.ends_at = max(episode.ends_at, saturated_until)


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
