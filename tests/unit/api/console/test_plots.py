"""Plots, by value."""

import itertools
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.api.console.plots import figure, paths, scale
from app.api.console.plots.figure import Axis, Series, Style

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.7, 0.8), (1, 1), (7, 8), (10, 10), (11, 15), (143, 150), (610, 800), (999, 1000)]
)
def test_tops_are_numbers_that_people_count_in(value: float, top: float) -> None:
    assert scale.round_top(value)[0] == pytest.approx(top)


@given(st.floats(1e-6, 1e12))
@example(1.0)
def test_the_top_holds_the_value_with_two_to_four_lines(value: float) -> None:
    top, step = scale.round_top(value)
    assert value <= top * (1 + 1e-9)
    assert 1.99 <= top / step <= 4.01 or top == step == 1


@given(st.integers(0, 10**9))
@example(5)
def test_the_lines_of_counts_are_whole_numbers(value: int) -> None:
    assert scale.round_top(value)[1] % 1 == 0


def test_a_grid_line_gives_way_to_a_limit_beside_it() -> None:
    lines = scale.grid(100, 50, limits=[(47, "limit"), (45, "limit lower")])
    assert [(line.label, line.kind) for line in lines] == [("100", "grid"), ("47", "limit"), ("", "limit lower")]
    lines = scale.grid(100, 50, limits=[(47, "limit")])
    assert [(line.label, line.kind) for line in lines] == [("100", "grid"), ("47", "limit")]


def test_ticks_stand_at_local_midnights_across_a_change_of_clocks() -> None:
    since = datetime(2026, 10, 22, 12, tzinfo=UTC)
    ticks = scale.ticks(since, since + timedelta(days=6), BERLIN)
    assert [tick.label for tick in ticks] == ["Fri 23", "Sat 24", "Sun 25", "Mon 26", "Tue 27", "Wed 28"]
    gaps = [round((after.x - before.x) * 6 * 24 / 100) for before, after in itertools.pairwise(ticks)]
    assert gaps == [24, 24, 25, 24, 24]


def test_bars_start_at_the_floor_and_none_is_drawn_for_nothing() -> None:
    assert paths.bars([0, 5, None, 10], 10).count("z") == 2
    assert "V500.0" in paths.bars([0, 5], 10)


def test_bars_higher_than_the_plot_are_cut_at_its_edge() -> None:
    numbers = [float(text) for text in re.findall(r"V(-?[\d.]+)", paths.bars([500], 50))]
    assert min(numbers) == 0


def test_unknown_values_are_gaps_in_a_line() -> None:
    assert paths.line([1, None, 3], 10).count("M") == 2


def test_bars_at_or_over_the_limit_are_a_path_of_their_own() -> None:
    drawn = paths.spark([1, 9, 10, 11], limit=10)
    assert (drawn.under.count("M"), drawn.over.count("M")) == (2, 2)


def axis(buckets: int) -> Axis:
    starts = [START + number * timedelta(hours=1) for number in range(buckets)]
    return Axis(
        starts, START + buckets * timedelta(hours=1), BERLIN, lambda since, until: f"/logs?{since:%H}-{until:%H}", str
    )


def test_every_bucket_links_to_its_logs_and_tells_its_values() -> None:
    drawn = figure.draw("Messages", "", axis(3), [Series("sent", [1, None, 3], "bars-good", "good")], Style())
    assert [hit.href for hit in drawn.hits] == ["/logs?00-01", "/logs?01-02", "/logs?02-03"]
    assert [hit.values for hit in drawn.hits] == [["1"], ["not read"], ["3"]]


def test_series_of_bars_are_stacked() -> None:
    series = [Series("good", [4], "bars-good", "good"), Series("failed", [4], "bars-bad", "bad")]
    drawn = figure.draw("Messages", "", axis(1), series, Style())
    assert drawn.paths == [
        ("bars-good", "M110.0 1000.0V500.0h780.0V1000.0z"),
        ("bars-bad", "M110.0 500.0V0.0h780.0V500.0z"),
    ]


def test_a_peak_far_over_the_limit_is_cut_and_labelled() -> None:
    drawn = figure.draw("Often", "", axis(2), [Series("matches", [2, 400], "bars-bad", "bad")], Style(limit=10))
    assert [cut.label for cut in drawn.cuts] == ["↑ 400"]
    assert "10" in [line.label for line in drawn.lines if line.kind == "limit"]


def test_spans_outside_the_plot_are_left_out_and_others_are_clipped() -> None:
    hours = axis(4)
    assert hours.span("firing", START - timedelta(hours=2), START) is None
    clipped = hours.span("firing", START + timedelta(hours=2), START + timedelta(days=1))
    assert clipped is not None
    assert (clipped.x, clipped.width) == (50, 50)
