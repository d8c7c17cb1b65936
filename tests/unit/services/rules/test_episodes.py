"""Episodes by value: the same matches are the same episodes, whichever of them are known first."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.services.rules.conditions.each import Each
from app.services.rules.conditions.threshold import Threshold
from app.services.rules.episodes import (
    Episode,
    EpisodeUpdate,
    OpenEpisode,
    Point,
    find_episodes,
    split_by_completeness,
)
from tests.fakes import START
from tests.profiles import examples
from tests.reference import Match, alerts

QUIET = timedelta(minutes=10)


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def points_at(minutes: Sequence[int]) -> list[Point]:
    return [Point(at(minute), f"SM{index}", index, None) for index, minute in enumerate(sorted(minutes))]


def of_each(minutes: Sequence[int], open_episode: OpenEpisode | None = None) -> list[Episode]:
    points = points_at(minutes)
    return find_episodes(points, Each().opens(points), QUIET, open_episode)


def of_threshold(points: Sequence[Point], count: int, window_minutes: int) -> list[Episode]:
    condition = Threshold(type="threshold", count=count, window_minutes=window_minutes)
    full = condition.saturation(points)
    return find_episodes(points, condition.opens(points), QUIET, None, condition.window, full)


def test_matches_within_the_quiet_time_are_one_episode() -> None:
    [episode] = of_each([0, 10, 20])
    assert (episode.started_at, episode.last_at, episode.ends_at) == (at(0), at(20), at(30))
    assert len(episode.points) == 3
    assert [len(episode.points) for episode in of_each([0, 11])] == [1, 1]


def test_a_match_within_the_quiet_time_joins_the_open_alert() -> None:
    open_episode = OpenEpisode(at(0), at(0), at(5))
    [episode] = of_each([15], open_episode)
    assert episode.continues
    assert (episode.started_at, episode.last_at) == (at(0), at(15))
    first, second = of_each([16], open_episode)
    assert (first.continues, second.continues) == (True, False)


def test_an_open_alert_without_new_matches_keeps_its_end() -> None:
    [episode] = of_each([], OpenEpisode(at(0), at(0), at(5)))
    assert (episode.continues, episode.points, episode.ends_at) == (True, (), at(15))


def test_a_match_that_arrives_late_is_an_episode_before_the_open_alert() -> None:
    early, open_one = of_each([0], OpenEpisode(at(60), at(60), at(60)))
    assert (early.continues, early.started_at) == (False, at(0))
    assert open_one.continues


def test_counted_matches_alone_are_no_episode() -> None:
    points = [Point(at(0), "SM1", 1, None, alert_id=uuid4())]
    assert find_episodes(points, Each().opens(points), QUIET, None) == []


def test_a_threshold_includes_the_window_that_reached_it() -> None:
    [episode] = of_threshold(points_at([0, 1, 2, 3]), 3, 5)
    assert (episode.window_from, episode.started_at, episode.last_at) == (at(-3), at(2), at(3))
    assert len(episode.points) == 4


def test_a_threshold_lasts_as_long_as_its_window_is_full() -> None:
    [episode] = of_threshold(points_at([0, 0, 0]), 3, 60)
    assert episode.ends_at == at(60)


def update(*minutes: int, horizon: int | None) -> tuple[list[bool], int]:
    """Whether each recorded episode is over, and how many wait."""
    updates, waiting = split_by_completeness(of_each(minutes), None if horizon is None else at(horizon))
    return [each.resolved for each in updates], len(waiting)


@pytest.mark.parametrize(
    ("horizon", "resolved", "waiting"),
    [
        (None, [False], 2),
        (9, [False], 2),
        (10, [True, False], 1),
        (29, [True, False], 1),
        (30, [True, True, False], 0),
        (60, [True, True, True], 0),
    ],
)
def test_an_end_is_believed_once_the_streams_are_complete_up_to_it(
    horizon: int | None, resolved: list[bool], waiting: int
) -> None:
    assert update(0, 20, 40, horizon=horizon) == (resolved, waiting)


def test_an_episode_before_the_open_alert_is_recorded_only_when_it_is_over() -> None:
    episodes = of_each([0], OpenEpisode(at(60), at(60), at(60)))
    early, open_one = episodes
    assert split_by_completeness(episodes, at(9)) == ([EpisodeUpdate(open_one, False)], [early])
    assert split_by_completeness(episodes, at(10)) == (
        [EpisodeUpdate(early, True), EpisodeUpdate(open_one, False)],
        [],
    )


minutes_of_matches = st.lists(st.integers(0, 120), max_size=25)


@pytest.mark.hunt
@settings(max_examples=examples(100))
@given(minutes_of_matches)
def test_each_finds_the_alerts_of_the_reference(minutes: list[int]) -> None:
    expected = alerts([Match(at(minute), sid=f"SM{index}") for index, minute in enumerate(minutes)], QUIET)
    found = of_each(minutes)
    assert [(one.started_at, one.ends_at, len(one.points)) for one in found] == expected


@pytest.mark.hunt
@settings(max_examples=examples(100))
@given(minutes_of_matches, st.integers(1, 5), st.integers(1, 30))
def test_threshold_finds_the_alerts_of_the_reference(minutes: list[int], count: int, window_minutes: int) -> None:
    expected = alerts(
        [Match(at(minute), sid=f"SM{index}") for index, minute in enumerate(minutes)],
        QUIET,
        count=count,
        window=timedelta(minutes=window_minutes),
    )
    found = of_threshold(points_at(minutes), count, window_minutes)
    assert [(one.started_at, one.ends_at, len(one.points) + one.shared) for one in found] == expected


@pytest.mark.hunt
@settings(max_examples=examples(100))
@given(minutes_of_matches, st.lists(st.integers(0, 140), max_size=5))
def test_a_growing_horizon_resolves_the_same_episodes(minutes: list[int], horizons: list[int]) -> None:
    episodes = of_each(minutes)
    recorded = [split_by_completeness(episodes, at(horizon)) for horizon in sorted(horizons)]
    for updates, waiting in recorded:
        assert [one.episode for one in updates] + waiting == episodes
        assert sum(not one.resolved for one in updates) <= 1
    for (before, _), (after, _) in pairwise(recorded):
        resolved = [one.episode for one in before if one.resolved]
        assert [one.episode for one in after if one.resolved][: len(resolved)] == resolved
