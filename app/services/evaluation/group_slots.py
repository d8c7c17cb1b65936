"""The places of a rule: at most 500 groups are evaluated apart, what comes later falls together."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.rules.groups import group_key, other_group
from app.services.rules.rule import Rule

MAX_GROUPS = 500


class Presence(NamedTuple):
    """From when to when a group was there, never absent for longer than it keeps its place."""

    first_at: datetime
    last_at: datetime


Presences = Mapping[tuple[UUID, str], Presence]


def assign_slots(
    session: Session, rules: Mapping[UUID, Rule], times: Mapping[tuple[UUID, str], Collection[datetime]]
) -> dict[tuple[UUID, str], str]:
    """Give groups their places, as long as there are any.

    Args:    times: (rule, group) to when it was seen.
    Returns: (rule, group) to the group it is evaluated in: itself, or the one of all that have no place.
    """
    group_ids = times.keys()
    presences = {
        group_id: latest_presence(found, rules[group_id[0]].condition.slot_ttl)
        for group_id, found in times.items()
        if rules[group_id[0]].group_by
    }
    slots = {group_id: group_id[1] for group_id in group_ids}
    if not presences:
        return slots
    _touch(session, rules, presences)
    missing = defaultdict(list)
    for group_id in presences.keys() - _groups_with_slot(session, rules, presences):
        missing[group_id[0]].append(group_id[1])
    for rule_id, keys in sorted(missing.items()):
        admitted = _take_slots(session, rules[rule_id], {key: presences[rule_id, key] for key in sorted(keys)})
        other = group_key(other_group(rules[rule_id]))
        for key in keys:
            if key not in admitted:
                slots[rule_id, key] = other
    return slots


def latest_presence(times: Collection[datetime], longest_absence: timedelta) -> Presence:
    """Return the latest span in which a group was seen again and again."""
    ordered = sorted(times, reverse=True)
    first_at = ordered[0]
    for at in ordered:
        if first_at - at > longest_absence:
            break
        first_at = at
    return Presence(first_at, ordered[0])


def _columns(rules: Mapping[UUID, Rule], group_ids: Iterable[tuple[UUID, str]]) -> dict[str, list[object]]:
    listed = sorted(group_ids)
    return {
        "rules": [rule_id for rule_id, _ in listed],
        "epochs": [rules[rule_id].epoch for rule_id, _ in listed],
        "keys": [key for _, key in listed],
    }


_ASKED = "unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:keys AS text[])"


def _touch(session: Session, rules: Mapping[UUID, Rule], presences: Presences) -> None:
    """Note since when and until when each group was seen; one that was absent for long begins anew."""
    listed = sorted(presences)
    session.execute(
        text(
            "UPDATE rule_groups AS kept SET first_match_at = CASE"
            " WHEN asked.first_at > kept.last_match_at + asked.stay THEN asked.first_at"
            " ELSE least(kept.first_match_at, asked.first_at) END,"
            " last_match_at = greatest(kept.last_match_at, asked.last_at)"
            f" FROM {_ASKED}, CAST(:first AS timestamptz[]), CAST(:last AS timestamptz[]), CAST(:stays AS interval[]))"
            " AS asked (rule_id, epoch, key, first_at, last_at, stay) WHERE kept.rule_id = asked.rule_id"
            " AND kept.epoch = asked.epoch AND kept.group_key = asked.key"
            " AND (kept.last_match_at < asked.last_at OR kept.first_match_at > asked.first_at)"
            " AND asked.last_at >= kept.first_match_at - asked.stay"
        ),
        _columns(rules, presences)
        | {
            "first": [presences[group_id].first_at for group_id in listed],
            "last": [presences[group_id].last_at for group_id in listed],
            "stays": [rules[rule_id].condition.slot_ttl for rule_id, _ in listed],
        },
    )


def _groups_with_slot(session: Session, rules: Mapping[UUID, Rule], presences: Presences) -> set[tuple[UUID, str]]:
    rows = session.execute(
        text(
            f"SELECT kept.rule_id, kept.group_key FROM {_ASKED}) AS asked (rule_id, epoch, group_key)"
            " JOIN rule_groups AS kept USING (rule_id, epoch, group_key)"
        ),
        _columns(rules, presences),
    )
    return {(row[0], row[1]) for row in rows}


def _take_slots(session: Session, rule: Rule, presences: Mapping[str, Presence]) -> set[str]:
    """Give the free places of one rule to these groups, in their order; the rest makes do with the common one."""
    # Two evaluators must not give away one place twice.
    session.execute(text("SELECT id FROM rules WHERE id = :id FOR NO KEY UPDATE"), {"id": rule.id})
    used = session.scalar(
        text("SELECT count(*) FROM rule_groups WHERE rule_id = :id AND epoch = :epoch"),
        {"id": rule.id, "epoch": rule.epoch},
    )
    free = max(0, MAX_GROUPS - (used or 0))
    admitted = list(presences)[:free]
    rows = [(key, presences[key]) for key in admitted]
    if len(presences) > free:
        # The common group has a row too, so that `no_data` misses it; it takes nobody's place.
        others = [presences[key] for key in list(presences)[free:]]
        overflow = Presence(min(each.first_at for each in others), max(each.last_at for each in others))
        rows.append((group_key(other_group(rule)), overflow))
        session.execute(text("UPDATE rules SET groups_capped = true WHERE id = :id"), {"id": rule.id})
    session.execute(
        text(
            "INSERT INTO rule_groups AS kept (rule_id, epoch, group_key, first_match_at, last_match_at)"
            " SELECT :id, :epoch, key, first_at, last_at FROM"
            " unnest(CAST(:keys AS text[]), CAST(:first AS timestamptz[]), CAST(:last AS timestamptz[]))"
            " AS asked (key, first_at, last_at) ON CONFLICT (rule_id, epoch, group_key) DO UPDATE"
            " SET first_match_at = least(kept.first_match_at, excluded.first_match_at),"
            " last_match_at = greatest(kept.last_match_at, excluded.last_match_at)"
        ),
        {
            "id": rule.id,
            "epoch": rule.epoch,
            "keys": [key for key, _ in rows],
            "first": [presence.first_at for _, presence in rows],
            "last": [presence.last_at for _, presence in rows],
        },
    )
    return set(admitted)


def expected_groups(session: Session, rules: Iterable[Rule], at: datetime) -> dict[UUID, list[str]]:
    """List the groups that each of these `no_data` rules misses at a minute, where they are silent."""
    asked = list(rules)
    rows = session.execute(
        text(
            "SELECT kept.rule_id, kept.group_key FROM unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]),"
            " CAST(:since AS timestamptz[])) AS asked (rule_id, epoch, since)"
            " JOIN rule_groups AS kept ON kept.rule_id = asked.rule_id AND kept.epoch = asked.epoch"
            " AND kept.last_match_at > asked.since AND kept.first_match_at <= :at ORDER BY 1, 2"
        ),
        {
            "at": at,
            "rules": [rule.id for rule in asked],
            "epochs": [rule.epoch for rule in asked],
            "since": [at - rule.condition.slot_ttl for rule in asked],
        },
    )
    found: dict[UUID, list[str]] = defaultdict(list)
    for rule_id, key in rows:
        found[rule_id].append(key)
    return found


def expire_slots(session: Session, rules: Iterable[Rule], now: datetime) -> None:
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
            "since": [now - rule.condition.slot_ttl for rule in asked],
        },
    )
    session.execute(
        text(
            "UPDATE rules SET groups_capped = false WHERE groups_capped AND"
            " (SELECT count(*) FROM rule_groups WHERE rule_id = rules.id AND epoch = rules.epoch) < :places"
        ),
        {"places": MAX_GROUPS},
    )
