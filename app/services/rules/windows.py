"""Numbers for conditions, from SQL: matches within windows, and counts per window; one statement for all rules."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

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


_POINT = (
    "matches.changed_at, matches.sid, matches.log_id, matches.error_code, matches.alert_id IS NOT NULL, matches.novel"
)


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


def sums(session: Session, asked: Sequence[Window]) -> dict[GroupId, dict[int, Sums]]:
    """Count what these windows hold.

    Returns: for each rule and group with anything in them, the windows by their place: 0 is the newest.
    """
    found: dict[GroupId, dict[int, Sums]] = defaultdict(dict)
    if not asked:
        return found
    rows = session.execute(
        text(
            "SELECT kept.rule_id, kept.group_key,"
            " floor(extract(epoch FROM asked.until - kept.minute) / extract(epoch FROM asked.length))::int AS place,"
            " greatest(sum(kept.total), 0)::int, greatest(sum(kept.matched), 0)::int FROM"
            " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:until AS timestamptz[]),"
            " CAST(:lengths AS interval[]), CAST(:places AS int[])) AS asked (rule_id, epoch, until, length, places)"
            " JOIN minute_counts AS kept ON kept.rule_id = asked.rule_id AND kept.epoch = asked.epoch"
            " AND kept.minute > asked.until - asked.length * asked.places"
            " AND kept.minute <= asked.until GROUP BY 1, 2, 3"
        ),
        {
            "rules": [each.rule.id for each in asked],
            "epochs": [each.rule.epoch for each in asked],
            "until": [each.until for each in asked],
            "lengths": [each.length for each in asked],
            "places": [each.places for each in asked],
        },
    )
    for rule_id, key, place, total, matched in rows:
        found[rule_id, key][place] = Sums(total, matched)
    return found


def amounts(
    session: Session, asked: Sequence[Window], reach: timedelta
) -> dict[GroupId, list[tuple[datetime, Decimal]]]:
    """Read the amounts of each minute of the windows that ended within `reach`; by rule and group, oldest first."""
    found: dict[GroupId, list[tuple[datetime, Decimal]]] = defaultdict(list)
    if not asked:
        return found
    rows = session.execute(
        text(
            "SELECT kept.rule_id, kept.group_key, kept.minute, kept.amount FROM"
            " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:since AS timestamptz[]),"
            " CAST(:until AS timestamptz[])) AS asked (rule_id, epoch, since, until)"
            " JOIN minute_counts AS kept ON kept.rule_id = asked.rule_id AND kept.epoch = asked.epoch"
            " AND kept.minute > asked.since AND kept.minute <= asked.until ORDER BY 1, 2, 3"
        ),
        {
            "rules": [each.rule.id for each in asked],
            "epochs": [each.rule.epoch for each in asked],
            "since": [each.until - reach - each.length for each in asked],
            "until": [each.until for each in asked],
        },
    )
    for rule_id, key, minute, amount in rows:
        found[rule_id, key].append((minute, amount))
    return found
