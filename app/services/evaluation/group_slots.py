"""The group slots of a rule: at most 500 groups are evaluated separately; later ones are combined."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.bulk import Unnest
from app.services.rules.groups import MAX_GROUPS, group_key, other_group
from app.services.rules.rule import Rule


class Presence(NamedTuple):
    """The span of a group's presence, without an absence longer than its slot's lifetime."""

    first_at: datetime
    last_at: datetime


_ASKED = Unnest("asked", rule_id="uuid", epoch="int", group_key="text")
_TOUCHED = Unnest(
    "asked", rule_id="uuid", epoch="int", key="text", first_at="timestamptz", last_at="timestamptz", ttl="interval"
)
_ADMITTED = Unnest("asked", key="text", first_at="timestamptz", last_at="timestamptz")
_SINCE = Unnest("asked", rule_id="uuid", epoch="int", since="timestamptz")

Presences = Mapping[tuple[UUID, str], Presence]


def assign_slots(
    session: Session, rules: Mapping[UUID, Rule], times: Mapping[tuple[UUID, str], Collection[datetime]]
) -> dict[tuple[UUID, str], str]:
    """Assign free slots to groups.

    Args:    times: (rule, group) to the times at which it was seen.
    Returns: (rule, group) to the group in which it is evaluated: itself, or `__other__` without a slot.
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
    """Return the latest span in which a group was present."""
    ordered = sorted(times, reverse=True)
    first_at = ordered[0]
    for at in ordered:
        if first_at - at > longest_absence:
            break
        first_at = at
    return Presence(first_at, ordered[0])


def _touch(session: Session, rules: Mapping[UUID, Rule], presences: Presences) -> None:
    """Extend the recorded presence of each group. After a long absence a new presence begins."""
    session.execute(
        text(
            "UPDATE rule_groups AS kept SET first_match_at = CASE"
            " WHEN asked.first_at > kept.last_match_at + asked.ttl THEN asked.first_at"
            " ELSE least(kept.first_match_at, asked.first_at) END,"
            " last_match_at = greatest(kept.last_match_at, asked.last_at)"
            f" FROM {_TOUCHED} WHERE kept.rule_id = asked.rule_id"
            " AND kept.epoch = asked.epoch AND kept.group_key = asked.key"
            " AND (kept.last_match_at < asked.last_at OR kept.first_match_at > asked.first_at)"
            " AND asked.last_at >= kept.first_match_at - asked.ttl"
        ),
        _TOUCHED.values(
            [
                (rule_id, rules[rule_id].epoch, key, *presences[rule_id, key], rules[rule_id].condition.slot_ttl)
                for rule_id, key in sorted(presences)
            ]
        ),
    )


def _groups_with_slot(session: Session, rules: Mapping[UUID, Rule], presences: Presences) -> set[tuple[UUID, str]]:
    rows = session.execute(
        text(
            f"SELECT kept.rule_id, kept.group_key FROM {_ASKED}"
            " JOIN rule_groups AS kept USING (rule_id, epoch, group_key)"
        ),
        _ASKED.values([(rule_id, rules[rule_id].epoch, key) for rule_id, key in sorted(presences)]),
    )
    return {(row[0], row[1]) for row in rows}


def _take_slots(session: Session, rule: Rule, presences: Mapping[str, Presence]) -> set[str]:
    """Give the free slots of one rule to these groups, in their order. The rest share one."""
    # Two evaluators must not assign the same slot.
    session.execute(text("SELECT id FROM rules WHERE id = :id FOR NO KEY UPDATE"), {"id": rule.id})
    used = session.scalar(
        text("SELECT count(*) FROM rule_groups WHERE rule_id = :id AND epoch = :epoch"),
        {"id": rule.id, "epoch": rule.epoch},
    )
    free = max(0, MAX_GROUPS - (used or 0))
    admitted = list(presences)[:free]
    rows = {key: presences[key] for key in admitted}
    if len(presences) > free:
        # The common group has a row, too, so that `no_data` notices its absence. It uses no slot.
        others = [presences[key] for key in list(presences)[free:]]
        overflow = Presence(min(each.first_at for each in others), max(each.last_at for each in others))
        rows[group_key(other_group(rule))] = overflow
        session.execute(text("UPDATE rules SET groups_capped = true WHERE id = :id"), {"id": rule.id})
    _save_presences(session, rule, rows)
    return set(admitted)


def _save_presences(session: Session, rule: Rule, presences: Mapping[str, Presence]) -> None:
    session.execute(
        text(
            "INSERT INTO rule_groups AS kept (rule_id, epoch, group_key, first_match_at, last_match_at)"
            f" SELECT :id, :epoch, key, first_at, last_at FROM {_ADMITTED}"
            " ON CONFLICT (rule_id, epoch, group_key) DO UPDATE"
            " SET first_match_at = least(kept.first_match_at, excluded.first_match_at),"
            " last_match_at = greatest(kept.last_match_at, excluded.last_match_at)"
        ),
        _ADMITTED.values([(key, *each) for key, each in presences.items()]) | {"id": rule.id, "epoch": rule.epoch},
    )


def expected_groups(session: Session, rules: Iterable[Rule], at: datetime) -> dict[UUID, list[str]]:
    """List the groups that each of these `no_data` rules expects at a minute."""
    rows = session.execute(
        text(
            f"SELECT kept.rule_id, kept.group_key FROM {_SINCE}"
            " JOIN rule_groups AS kept ON kept.rule_id = asked.rule_id AND kept.epoch = asked.epoch"
            " AND kept.last_match_at > asked.since AND kept.first_match_at <= :at ORDER BY 1, 2"
        ),
        _SINCE.values([(rule.id, rule.epoch, at - rule.condition.slot_ttl) for rule in rules]) | {"at": at},
    )
    found: dict[UUID, list[str]] = defaultdict(list)
    for rule_id, key in rows:
        found[rule_id].append(key)
    return found


def expire_slots(session: Session, rules: Iterable[Rule], now: datetime) -> None:
    """Free the slots of groups without an open alert that were silent for too long, and those of deleted rules."""
    session.execute(
        text(
            f"DELETE FROM rule_groups AS kept WHERE NOT EXISTS (SELECT FROM {_SINCE}"
            " WHERE kept.rule_id = asked.rule_id AND kept.epoch = asked.epoch"
            " AND kept.last_match_at >= asked.since) AND NOT EXISTS (SELECT FROM alerts"
            " WHERE alerts.rule_id = kept.rule_id AND alerts.group_key = kept.group_key"
            " AND alerts.status <> 'resolved')"
        ),
        _SINCE.values([(rule.id, rule.epoch, now - rule.condition.slot_ttl) for rule in rules]),
    )
    session.execute(
        text(
            "UPDATE rules SET groups_capped = false WHERE groups_capped AND"
            " (SELECT count(*) FROM rule_groups WHERE rule_id = rules.id AND epoch = rules.epoch) < :most"
        ),
        {"most": MAX_GROUPS},
    )
