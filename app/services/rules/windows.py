"""Numbers for conditions, from SQL: matches within windows, and counts per window; one statement for all rules."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.rules.counts import goes_by_hours, hour_of
from app.services.rules.episodes import Point
from app.services.rules.types import Rule

Found = tuple[UUID, str, Point]
GroupId = tuple[UUID, str]


class Span(NamedTuple):
    """The matches of one group that are asked for: after `since`, up to and with `until` (None: no end)."""

    rule: Rule
    group_key: str
    since: datetime
    until: datetime | None


_POINT = "matches.changed_at, matches.sid, matches.log_id, matches.error_code, matches.alert_id, matches.new_value"


def matches_within(session: Session, spans: Sequence[Span]) -> Iterator[Found]:
    """Read the stored matches of these spans."""
    if not spans:
        return
    rows = session.execute(
        text(
            f"SELECT matches.rule_id, matches.group_key, {_POINT} FROM"
            " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:keys AS text[]),"
            " CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[]))"
            " AS asked (rule_id, epoch, key, since, until)"
            " JOIN matches ON matches.rule_id = asked.rule_id AND matches.group_key = asked.key"
            " AND matches.epoch = asked.epoch AND matches.changed_at > asked.since"
            " AND matches.changed_at <= coalesce(asked.until, 'infinity')"
        ),
        {
            "rules": [span.rule.id for span in spans],
            "epochs": [span.rule.epoch for span in spans],
            "keys": [span.group_key for span in spans],
            "since": [span.since for span in spans],
            "until": [span.until for span in spans],
        },
    )
    for rule_id, key, *values in rows:
        yield rule_id, key, Point(*values)


class Newest(NamedTuple):
    """So many of the newest matches of one group, up to and with a moment."""

    rule: Rule
    group_key: str
    until: datetime
    limit: int


def newest_matches(session: Session, asked: Sequence[Newest]) -> Iterator[Found]:
    """Read the newest stored matches of these groups."""
    if not asked:
        return
    rows = session.execute(
        text(
            "SELECT asked.rule_id, asked.key, newest.* FROM"
            " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:keys AS text[]),"
            " CAST(:until AS timestamptz[]), CAST(:counts AS int[])) AS asked (rule_id, epoch, key, until, count)"
            f" CROSS JOIN LATERAL (SELECT {_POINT} FROM matches WHERE matches.rule_id = asked.rule_id"
            " AND matches.group_key = asked.key AND matches.epoch = asked.epoch AND matches.changed_at <= asked.until"
            " ORDER BY matches.changed_at DESC LIMIT asked.count) AS newest"
        ),
        {
            "rules": [each.rule.id for each in asked],
            "epochs": [each.rule.epoch for each in asked],
            "keys": [each.group_key for each in asked],
            "until": [each.until for each in asked],
            "counts": [each.limit for each in asked],
        },
    )
    for rule_id, key, *values in rows:
        yield rule_id, key, Point(*values)


class Window(NamedTuple):
    """Windows of one rule, one behind the other: the newest ends at `until`."""

    rule: Rule
    until: datetime
    length: timedelta
    places: int = 1
    """How many windows."""


class Sums(NamedTuple):
    """What one window of one group holds."""

    total: int
    matched: int


class Piece(NamedTuple):
    """A part of windows, (since, until], that is added up by the minute or by the hour."""

    window: Window
    since: datetime
    until: datetime
    by_hours: bool


def cut(window: Window, since: datetime, until: datetime) -> list[Piece]:
    """Cut (since, until] into whole hours, where the rule's hours are kept, and minutes before and after."""
    first, last = hour_of(since), until.replace(minute=0, second=0, microsecond=0)
    if not goes_by_hours(window.rule) or first >= last:
        return [Piece(window, since, until, False)]
    pieces = [(since, first, False), (first, last, True), (last, until, False)]
    return [Piece(window, *piece) for piece in pieces if piece[0] < piece[1]]


_HELD = """
    WITH asked AS (
        SELECT * FROM unnest(
            CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:since AS timestamptz[]),
            CAST(:until AS timestamptz[]), CAST(:ends AS timestamptz[]), CAST(:lengths AS interval[]),
            CAST(:by_hours AS bool[])
        ) AS asked (rule_id, epoch, since, until, ends, length, by_hours)
    ), held AS (
        SELECT kept.rule_id, group_key, minute AS at, total, matched, amount, ends, length
        FROM asked CROSS JOIN LATERAL (SELECT * FROM minute_counts WHERE minute_counts.rule_id = asked.rule_id
        AND minute_counts.epoch = asked.epoch AND minute > since AND minute <= until OFFSET 0) AS kept
        WHERE NOT by_hours
        UNION ALL
        SELECT kept.rule_id, group_key, hour, total, matched, amount, ends, length
        FROM asked CROSS JOIN LATERAL (SELECT * FROM hour_counts WHERE hour_counts.rule_id = asked.rule_id
        AND hour_counts.epoch = asked.epoch AND hour > since AND hour <= until OFFSET 0) AS kept
        WHERE by_hours
    )
"""
"""What the pieces hold: minutes and hours, each by its end; piece by piece (OFFSET 0), or whole tables may be read."""


def _columns(pieces: Sequence[Piece]) -> dict[str, list[object]]:
    return {
        "rules": [piece.window.rule.id for piece in pieces],
        "epochs": [piece.window.rule.epoch for piece in pieces],
        "since": [piece.since for piece in pieces],
        "until": [piece.until for piece in pieces],
        "ends": [piece.window.until for piece in pieces],
        "lengths": [piece.window.length for piece in pieces],
        "by_hours": [piece.by_hours for piece in pieces],
    }


def sums(session: Session, asked: Sequence[Window]) -> dict[GroupId, dict[int, Sums]]:
    """Count what these windows hold.

    Returns: for each rule and group with anything in them, the windows by their place: 0 is the newest.
    """
    found: dict[GroupId, dict[int, Sums]] = defaultdict(dict)
    pieces = [piece for window in asked for piece in _pieces_of(window)]
    if not pieces:
        return found
    rows = session.execute(
        text(
            f"{_HELD} SELECT rule_id, group_key,"
            " floor(extract(epoch FROM ends - at) / extract(epoch FROM length))::int AS place,"
            " greatest(sum(total), 0)::int, greatest(sum(matched), 0)::int FROM held GROUP BY 1, 2, 3"
        ),
        _columns(pieces),
    )
    for rule_id, key, place, total, matched in rows:
        found[rule_id, key][place] = Sums(total, matched)
    return found


def _pieces_of(window: Window) -> list[Piece]:
    """Cut windows so that no hour lies in two of them; those that are short stay together."""
    rule, until, length, places = window
    if not goes_by_hours(rule):
        return [Piece(window, until - places * length, until, False)]
    ends = [until - place * length for place in range(places)]
    return [piece for end in ends for piece in cut(window, end - length, end)]


def amounts(
    session: Session, asked: Sequence[Window], reach: timedelta
) -> dict[GroupId, list[tuple[datetime, Decimal]]]:
    """Read the amounts of the windows that ended within `reach`; by rule and group, oldest first, each by its end.

    Returns: minute by minute; what lies in every one of these windows by the hour, where hours are kept.
    """
    found: dict[GroupId, list[tuple[datetime, Decimal]]] = defaultdict(list)
    pieces = [piece for window in asked for piece in _pieces_within(window, reach)]
    if not pieces:
        return found
    rows = session.execute(
        text(f"{_HELD} SELECT rule_id, group_key, at, amount FROM held ORDER BY 1, 2, 3"), _columns(pieces)
    )
    for rule_id, key, at, amount in rows:
        found[rule_id, key].append((at, amount))
    return found


def _pieces_within(window: Window, reach: timedelta) -> list[Piece]:
    since, oldest = window.until - window.length, window.until - reach
    if since >= oldest:
        return [Piece(window, oldest - window.length, window.until, False)]
    edges = [Piece(window, oldest - window.length, since, False), Piece(window, oldest, window.until, False)]
    return [*edges, *cut(window, since, oldest)]
