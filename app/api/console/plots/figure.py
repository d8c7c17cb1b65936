"""What the template `plot.html` draws: a figure with its axes, series, spans, marks and links. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.api.console.plots import paths, scale

Href = Callable[[datetime, datetime], str]
"""Builds the address of the logs of a bucket from its start and end."""
CUT_ABOVE = 5
"""Peaks above this multiple of the limit are cut, so that they do not flatten the values near it."""


class Series(NamedTuple):
    """Values of one kind, one per bucket; None for unknown buckets."""

    name: str
    values: Sequence[float | None]
    kind: str
    """CSS class: `bars-good`, `bars-bad`, `bars-pale`, `curve`, `curve before`, `curve bad`."""
    key: str
    """CSS class of its key in the legend."""

    @property
    def is_bars(self) -> bool:
        """Bars are stacked on the series before; curves are not."""
        return self.kind.startswith("bars")


class Span(NamedTuple):
    """A shaded time: `firing`, `unread` or `silent`."""

    kind: str
    x: float
    width: float


class Mark(NamedTuple):
    """A point below the axis: `bad` for fired, `notified`, `own` for acknowledged."""

    kind: str
    x: float
    label: str


class Hit(NamedTuple):
    """The area of one bucket, a link to its logs."""

    href: str
    x: float
    width: float
    label: str
    values: Sequence[str]


class Cut(NamedTuple):
    """A bar that is higher than the plot, with its value."""

    x: float
    label: str


@dataclass(frozen=True)
class Figure:
    """One plot."""

    title: str
    caption: str
    """One sentence with the facts, for people who cannot see the plot."""
    paths: Sequence[tuple[str, str]]
    """(class, path) of each series."""
    lines: Sequence[scale.Line]
    ticks: Sequence[scale.Tick]
    hits: Sequence[Hit]
    columns: Sequence[str]
    """Names of the values of a hit."""
    legend: Sequence[tuple[str, str]]
    """(class of the key, name) of each series."""
    spans: Sequence[Span] = ()
    marks: Sequence[Mark] = ()
    cuts: Sequence[Cut] = ()
    size: str = ""
    """`low`, `tall` or empty."""


@dataclass(frozen=True)
class Axis:
    """The buckets of a plot, and how their links and labels are made."""

    starts: Sequence[datetime]
    until: datetime
    zone: ZoneInfo
    href: Href
    label: Callable[[datetime], str]

    @property
    def since(self) -> datetime:
        """When the first bucket begins."""
        return self.starts[0]

    def span(self, kind: str, since: datetime, until: datetime) -> Span | None:
        """Shade a time span; None if it is outside the plot."""
        first, last = max(since, self.since), min(until, self.until)
        if first >= last:
            return None
        x = scale.percent_of(first, self.since, self.until)
        return Span(kind, x, round(scale.percent_of(last, self.since, self.until) - x, 3))

    def mark(self, kind: str, at: datetime, label: str) -> Mark | None:
        """Mark a moment; None if it is outside the plot."""
        if not self.since <= at <= self.until:
            return None
        return Mark(kind, scale.percent_of(at, self.since, self.until), label)


@dataclass(frozen=True)
class Style:
    """How a plot is scaled."""

    unit: str = ""
    limit: float | None = None
    resolve_limit: float | None = None
    """An alert continues above it; None: it resolves below `limit`."""
    floor: float = 0
    top: float | None = None
    """The value at the upper edge; None: derived from the values."""
    size: str = ""
    missing: str = "not read"
    """The text of a bucket without a value."""
    extra_legend: Sequence[tuple[str, str]] = field(default_factory=tuple)

    @property
    def limits(self) -> list[tuple[float, str]]:
        """The limits that are drawn, and their kinds."""
        wanted = ((self.limit, "limit"), (self.resolve_limit, "limit lower"))
        return [(value, kind) for value, kind in wanted if value is not None]


def draw(
    title: str,
    caption: str,
    axis: Axis,
    series: Sequence[Series],
    style: Style,
    spans: Sequence[Span | None] = (),
    marks: Sequence[Mark | None] = (),
) -> Figure:
    """Draw a plot. Bars are stacked in the order given."""
    bars = [each for each in series if each.is_bars]
    curves = [each for each in series if not each.is_bars]
    stacked = scale.highest([each.values for each in bars]) if bars else 0
    peak = max([stacked, style.limit or 0, *(value for each in curves for value in each.values if value is not None)])
    is_cut = style.limit is not None and style.limit > 0 and peak > CUT_ABOVE * style.limit * 4
    wanted = CUT_ABOVE * (style.limit or 0) if is_cut else peak
    top, step = (style.top, (style.top - style.floor) / 2) if style.top is not None else scale.round_top(wanted)
    stacks, totals = _stack(bars, len(axis.starts), top)
    return Figure(
        title=title,
        caption=caption,
        paths=[*stacks, *((each.kind, paths.line(each.values, top, style.floor)) for each in curves)],
        lines=scale.grid(top, step, style.unit, style.floor, style.limits),
        ticks=scale.ticks(axis.since, axis.until, axis.zone),
        hits=_hits(axis, series, style),
        columns=[each.name for each in series],
        legend=[*((each.key, each.name) for each in series), *style.extra_legend],
        spans=[span for span in spans if span is not None],
        marks=[mark for mark in marks if mark is not None],
        cuts=_cuts(totals, top) if is_cut else (),
        size=style.size,
    )


def _stack(bars: Sequence[Series], buckets: int, top: float) -> tuple[list[tuple[str, str]], list[float]]:
    """Draw each series of bars on the ones before. Returns: their paths, and the total of each bucket."""
    drawn: list[tuple[str, str]] = []
    totals = [0.0] * buckets
    for each in bars:
        drawn.append((each.kind, paths.bars(each.values, top, totals)))
        totals = [total + (value or 0) for total, value in zip(totals, each.values, strict=True)]
    return drawn, totals


def _hits(axis: Axis, series: Sequence[Series], style: Style) -> list[Hit]:
    ends = [*axis.starts[1:], axis.until]
    width = 100 / len(axis.starts)
    return [
        Hit(
            href=axis.href(start, end),
            x=round(number * width, 3),
            width=round(width, 3),
            label=axis.label(start),
            values=[
                style.missing if each.values[number] is None else f"{each.values[number]:,.6g}{style.unit}"
                for each in series
            ],
        )
        for number, (start, end) in enumerate(zip(axis.starts, ends, strict=True))
    ]


def _cuts(totals: Sequence[float], top: float) -> list[Cut]:
    """Label the highest of the bars that are cut."""
    highest = max(totals, default=0)
    if highest <= top:
        return []
    number = totals.index(highest)
    return [Cut(round(100 * (number + 1) / len(totals), 2), f"↑ {highest:,.6g}")]
