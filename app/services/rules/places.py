"""The places of a rule: at most 500 groups are evaluated apart, what comes later falls together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.rules.groups import group_key, other_group
from app.services.rules.types import NoDataParams, Rule

PLACES = 500
SHORTEST_STAY = timedelta(hours=24)
"""A group without an open alert keeps its place at least so long after its last match."""
NO_DATA_STAY = timedelta(days=7)
"""`no_data` misses a group that was seen so lately."""

Wanted = Mapping[tuple[UUID, str], datetime]


def assign(session: Session, rules: Mapping[UUID, Rule], wanted: Wanted) -> dict[tuple[UUID, str], str]:
    """Give groups their places, as long as there are any.

    Args:    wanted: (rule, group) to the newest time in it.
    Returns: (rule, group) to the group it is evaluated in: itself, or the one of all that have no place.
    """
    grouped = {place: at for place, at in wanted.items() if rules[place[0]].group_by}
    answer = {place: place[1] for place in wanted}
    if not grouped:
        return answer
    _touch(session, rules, grouped)
    missing = defaultdict(list)
    for place in grouped.keys() - _held(session, rules, grouped):
        missing[place[0]].append(place[1])
    for rule_id, keys in sorted(missing.items()):
        placed = _take(session, rules[rule_id], {key: grouped[rule_id, key] for key in sorted(keys)})
        other = group_key(other_group(rules[rule_id]))
        for key in keys:
            if key not in placed:
                answer[rule_id, key] = other
    return answer


def _columns(rules: Mapping[UUID, Rule], places: Iterable[tuple[UUID, str]]) -> dict[str, list[object]]:
    listed = sorted(places)
    return {
        "rules": [rule_id for rule_id, _ in listed],
        "epochs": [rules[rule_id].epoch for rule_id, _ in listed],
        "keys": [key for _, key in listed],
    }


_ASKED = "unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:keys AS text[])"


def _touch(session: Session, rules: Mapping[UUID, Rule], wanted: Wanted) -> None:
    """Note when each group was last seen."""
    session.execute(
        text(
            f"UPDATE rule_groups AS kept SET last_match_at = asked.at FROM {_ASKED}, CAST(:at AS timestamptz[]))"
            " AS asked (rule_id, epoch, key, at) WHERE kept.rule_id = asked.rule_id AND kept.epoch = asked.epoch"
            " AND kept.group_key = asked.key AND kept.last_match_at < asked.at"
        ),
        _columns(rules, wanted) | {"at": [wanted[place] for place in sorted(wanted)]},
    )


def _held(session: Session, rules: Mapping[UUID, Rule], wanted: Wanted) -> set[tuple[UUID, str]]:
    rows = session.execute(
        text(
            f"SELECT kept.rule_id, kept.group_key FROM {_ASKED}) AS asked (rule_id, epoch, group_key)"
            " JOIN rule_groups AS kept USING (rule_id, epoch, group_key)"
        ),
        _columns(rules, wanted),
    )
    return {(row[0], row[1]) for row in rows}


def _take(session: Session, rule: Rule, wanted: Mapping[str, datetime]) -> set[str]:
    """Give the free places of one rule to these groups, in their order; the rest makes do with the common one."""
    # Two evaluators must not give away one place twice.
    session.execute(text("SELECT id FROM rules WHERE id = :id FOR NO KEY UPDATE"), {"id": rule.id})
    taken = session.scalar(
        text("SELECT count(*) FROM rule_groups WHERE rule_id = :id AND epoch = :epoch"),
        {"id": rule.id, "epoch": rule.epoch},
    )
    free = max(0, PLACES - (taken or 0))
    placed = list(wanted)[:free]
    rows = [(key, wanted[key]) for key in placed]
    if len(wanted) > free:
        # The common group has a row too, so that `no_data` misses it; it takes nobody's place.
        rows.append((group_key(other_group(rule)), max(wanted.values())))
        session.execute(text("UPDATE rules SET groups_capped = true WHERE id = :id"), {"id": rule.id})
    session.execute(
        text(
            "INSERT INTO rule_groups (rule_id, epoch, group_key, last_match_at) SELECT :id, :epoch, key, at FROM"
            " unnest(CAST(:keys AS text[]), CAST(:at AS timestamptz[])) AS asked (key, at)"
            " ON CONFLICT (rule_id, epoch, group_key) DO UPDATE"
            " SET last_match_at = greatest(rule_groups.last_match_at, excluded.last_match_at)"
        ),
        {"id": rule.id, "epoch": rule.epoch, "keys": [key for key, _ in rows], "at": [at for _, at in rows]},
    )
    return set(placed)


def stay(rule: Rule) -> timedelta:
    """Say how long a group without an open alert keeps its place after its last match."""
    if isinstance(rule.params, NoDataParams):
        return max(NO_DATA_STAY, 2 * rule.window)
    return max(SHORTEST_STAY, rule.window)


def seen_groups(session: Session, rules: Iterable[Rule], at: datetime) -> dict[UUID, list[str]]:
    """List the groups that each of these `no_data` rules misses if they are silent."""
    asked = list(rules)
    rows = session.execute(
        text(
            "SELECT kept.rule_id, kept.group_key FROM unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]),"
            " CAST(:since AS timestamptz[])) AS asked (rule_id, epoch, since)"
            " JOIN rule_groups AS kept ON kept.rule_id = asked.rule_id AND kept.epoch = asked.epoch"
            " AND kept.last_match_at > asked.since ORDER BY 1, 2"
        ),
        {
            "rules": [rule.id for rule in asked],
            "epochs": [rule.epoch for rule in asked],
            "since": [at - stay(rule) for rule in asked],
        },
    )
    found: dict[UUID, list[str]] = defaultdict(list)
    for rule_id, key in rows:
        found[rule_id].append(key)
    return found


def give_back(session: Session, rules: Iterable[Rule], now: datetime) -> None:
    """Free the places of groups that have no open alert and have been silent for long; forget those of gone rules."""
    asked = list(rules)
    session.execute(
        text(
            "DELETE FROM rule_groups AS kept WHERE NOT EXISTS (SELECT FROM"
            " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:since AS timestamptz[]))"
            " AS asked (rule_id, epoch, since) WHERE kept.rule_id = asked.rule_id AND kept.epoch = asked.epoch"
            " AND kept.last_match_at >= asked.since) AND NOT EXISTS (SELECT FROM alerts"
            " WHERE alerts.rule_id = kept.rule_id AND alerts.group_key = kept.group_key"
            " AND alerts.status <> 'resolved')"
        ),
        {
            "rules": [rule.id for rule in asked],
            "epochs": [rule.epoch for rule in asked],
            "since": [now - stay(rule) for rule in asked],
        },
    )
    session.execute(
        text(
            "UPDATE rules SET groups_capped = false WHERE groups_capped AND"
            " (SELECT count(*) FROM rule_groups WHERE rule_id = rules.id AND epoch = rules.epoch) < :places"
        ),
        {"places": PLACES},
    )
