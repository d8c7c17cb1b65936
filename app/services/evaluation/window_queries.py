"""SQL for conditions: matches within windows and counts per window, one statement for all rules."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.bulk import Unnest
from app.services.evaluation.minute_counts import has_hour_counts, hour_end
from app.services.rules.conditions.numbers import WindowCounts
from app.services.rules.episodes import Point
from app.services.rules.rule import Rule

GroupMatch = tuple[UUID, str, Point]
GroupId = tuple[UUID, str]


class MatchSpan(NamedTuple):
    """A request for the matches of one group in (since, until]; None means no end."""

    rule: Rule
    group_key: str
    since: datetime
    until: datetime | None


_POINT = (
    "matches.changed_at, matches.sid, matches.log_id, matches.error_code, matches.alert_id, matches.new_value,"
    " matches.account_id"
)

_SPANS = Unnest("asked", rule_id="uuid", epoch="int", key="text", since="timestamptz", until="timestamptz")
_NEWEST = Unnest("asked", rule_id="uuid", epoch="int", key="text", until="timestamptz", count="int")


def matches_within(session: Session, spans: Sequence[MatchSpan]) -> Iterator[GroupMatch]:
    """Read the stored matches in these spans."""
    if not spans:
        return
    rows = session.execute(
        text(
            f"SELECT matches.rule_id, matches.group_key, {_POINT} FROM {_SPANS}"
            " JOIN matches ON matches.rule_id = asked.rule_id AND matches.group_key = asked.key"
            " AND matches.epoch = asked.epoch AND matches.changed_at > asked.since"
            " AND matches.changed_at <= coalesce(asked.until, 'infinity')"
        ),
        _SPANS.values([(span.rule.id, span.rule.epoch, span.group_key, span.since, span.until) for span in spans]),
    )
    for rule_id, key, *values in rows:
        yield rule_id, key, Point(*values)


class NewestMatches(NamedTuple):
    """A request for the newest matches of one group, up to a moment and including it."""

    rule: Rule
    group_key: str
    until: datetime
    limit: int


def newest_matches(session: Session, requests: Sequence[NewestMatches]) -> Iterator[GroupMatch]:
    """Read the newest stored matches of these groups."""
    if not requests:
        return
    rows = session.execute(
        text(
            f"SELECT asked.rule_id, asked.key, newest.* FROM {_NEWEST}"
            f" CROSS JOIN LATERAL (SELECT {_POINT} FROM matches WHERE matches.rule_id = asked.rule_id"
            " AND matches.group_key = asked.key AND matches.epoch = asked.epoch AND matches.changed_at <= asked.until"
            " ORDER BY matches.changed_at DESC LIMIT asked.count) AS newest"
        ),
        _NEWEST.values([(each.rule.id, each.rule.epoch, *each[1:]) for each in requests]),
    )
    for rule_id, key, *values in rows:
        yield rule_id, key, Point(*values)


class WindowRange(NamedTuple):
    """Consecutive windows of one rule. The newest ends at `until`."""

    rule: Rule
    until: datetime
    length: timedelta
    window_count: int = 1


class RangePart(NamedTuple):
    """A part of windows, (since, until], that is summed by the minute or by the hour."""

    range: WindowRange
    since: datetime
    until: datetime
    by_hours: bool


def split_at_hours(window_range: WindowRange, since: datetime, until: datetime) -> list[RangePart]:
    """Split (since, until] into whole hours, if the rule has hourly counts, and the minutes before and after."""
    first, last = hour_end(since), until.replace(minute=0, second=0, microsecond=0)
    if not has_hour_counts(window_range.rule) or first >= last:
        return [RangePart(window_range, since, until, False)]
    parts = [(since, first, False), (first, last, True), (last, until, False)]
    return [RangePart(window_range, *part) for part in parts if part[0] < part[1]]


_PARTS = Unnest(
    "asked",
    rule_id="uuid",
    epoch="int",
    since="timestamptz",
    until="timestamptz",
    ends="timestamptz",
    length="interval",
    by_hours="bool",
)
_RANGE_COUNTS = f"""
    WITH asked AS (
        SELECT * FROM {_PARTS}
    ), counts AS (
        SELECT kept.rule_id, group_key, unit, minute AS at, total, matched, amount, ends, length
        FROM asked CROSS JOIN LATERAL (SELECT * FROM minute_counts WHERE minute_counts.rule_id = asked.rule_id
        AND minute_counts.epoch = asked.epoch AND minute > since AND minute <= until OFFSET 0) AS kept
        WHERE NOT by_hours
        UNION ALL
        SELECT kept.rule_id, group_key, unit, hour, total, matched, amount, ends, length
        FROM asked CROSS JOIN LATERAL (SELECT * FROM hour_counts WHERE hour_counts.rule_id = asked.rule_id
        AND hour_counts.epoch = asked.epoch AND hour > since AND hour <= until OFFSET 0) AS kept
        WHERE by_hours
    )
"""
"""The counts of the parts, by the end of minutes and hours; part by part (OFFSET 0), or whole tables may be read."""


def _parameters(parts: Sequence[RangePart]) -> dict[str, Sequence[object]]:
    return _PARTS.values(
        [
            (rule.id, rule.epoch, since, until, ends, length, by_hours)
            for (rule, ends, length, _), since, until, by_hours in parts
        ]
    )


def count_windows(session: Session, ranges: Sequence[WindowRange]) -> dict[GroupId, dict[int, WindowCounts]]:
    """Count the logs of these windows.

    Returns: for each rule and group with counts, the windows by index; 0 is the newest.
    """
    found: dict[GroupId, dict[int, WindowCounts]] = defaultdict(dict)
    parts = [part for window_range in ranges for part in _parts_of(window_range)]
    if not parts:
        return found
    rows = session.execute(
        text(
            f"{_RANGE_COUNTS} SELECT rule_id, group_key,"
            " floor(extract(epoch FROM ends - at) / extract(epoch FROM length))::int AS number,"
            " greatest(sum(total), 0)::int, greatest(sum(matched), 0)::int FROM counts GROUP BY 1, 2, 3"
        ),
        _parameters(parts),
    )
    for rule_id, key, index, total, matched in rows:
        found[rule_id, key][index] = WindowCounts(total, matched)
    return found


def _parts_of(window_range: WindowRange) -> list[RangePart]:
    """Split windows so that no hour lies in two parts. Short windows are not split."""
    rule, until, length, window_count = window_range
    if not has_hour_counts(rule):
        return [RangePart(window_range, until - window_count * length, until, False)]
    ends = [until - index * length for index in range(window_count)]
    return [part for end in ends for part in split_at_hours(window_range, end - length, end)]


def read_amounts(
    session: Session, ranges: Sequence[WindowRange], lookback: timedelta
) -> dict[GroupId, dict[str, list[tuple[datetime, Decimal]]]]:
    """Read the amounts of the windows that ended within `lookback`, by rule and group, then by unit.

    Returns: amounts by the end of their minute, oldest first. If the rule has hourly counts, the part that all
        these windows share is summed by the hour.
    """
    found: dict[GroupId, dict[str, list[tuple[datetime, Decimal]]]] = defaultdict(lambda: defaultdict(list))
    parts = [part for window_range in ranges for part in _parts_within(window_range, lookback)]
    if not parts:
        return found
    rows = session.execute(
        text(f"{_RANGE_COUNTS} SELECT rule_id, group_key, unit, at, amount FROM counts ORDER BY 1, 2, 3, 4"),
        _parameters(parts),
    )
    for rule_id, key, unit, at, amount in rows:
        found[rule_id, key][unit].append((at, amount))
    return found


def _parts_within(window_range: WindowRange, lookback: timedelta) -> list[RangePart]:
    since, oldest = window_range.until - window_range.length, window_range.until - lookback
    if since >= oldest:
        return [RangePart(window_range, oldest - window_range.length, window_range.until, False)]
    edges = [
        RangePart(window_range, oldest - window_range.length, since, False),
        RangePart(window_range, oldest, window_range.until, False),
    ]
    return [*edges, *split_at_hours(window_range, since, oldest)]
