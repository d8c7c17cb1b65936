"""The group slots of a rule: at most 500 groups are evaluated separately; later ones are combined."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.bulk import Unnest
from app.enums import OTHER_VALUE
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
_ADMITTED = Unnest("asked", rule_id="uuid", epoch="int", key="text", first_at="timestamptz", last_at="timestamptz")
_RULES = Unnest("asked", rule_id="uuid", epoch="int")
_SINCE = Unnest("asked", rule_id="uuid", epoch="int", since="timestamptz")

_HAS_SLOT = f"""strpos(group_key, '"{OTHER_VALUE}"') = 0"""
"""The group that all others share has a row, but no slot."""

Presences = Mapping[tuple[UUID, str], Presence]


def assign_slots(
    session: Session, rules: Mapping[UUID, Rule], times: Mapping[tuple[UUID, str], Collection[datetime]]
) -> dict[tuple[UUID, str], str]:
    """Assign free slots to groups. Nobody else may evaluate these rules meanwhile: no slot is assigned twice.

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
    missing = presences.keys() - _groups_with_slot(session, rules, presences)
    if missing:
        slots |= _take_slots(session, rules, {group_id: presences[group_id] for group_id in sorted(missing)})
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


def _take_slots(session: Session, rules: Mapping[UUID, Rule], presences: Presences) -> dict[tuple[UUID, str], str]:
    """Give the free slots of each rule to these groups, in their order; return the slot of each."""
    keys: dict[UUID, list[str]] = defaultdict(list)
    for rule_id, key in presences:
        keys[rule_id].append(key)
    used = _count_slots(session, [rules[rule_id] for rule_id in keys])
    slots = {group_id: group_id[1] for group_id in presences}
    rows, capped = [], []
    for rule_id, waiting in keys.items():
        free = max(0, MAX_GROUPS - used.get(rule_id, 0))
        admitted = {key: presences[rule_id, key] for key in waiting[:free]}
        if len(waiting) > free:
            capped.append(rule_id)
            # The common group has a row, too, so that `no_data` notices its absence.
            other = group_key(other_group(rules[rule_id]))
            others = [presences[rule_id, key] for key in waiting[free:]]
            admitted[other] = Presence(min(each.first_at for each in others), max(each.last_at for each in others))
            slots |= {(rule_id, key): other for key in waiting[free:]}
        rows += [(rule_id, rules[rule_id].epoch, key, *presence) for key, presence in admitted.items()]
    _save_presences(session, rows)
    if capped:
        session.execute(text("UPDATE rules SET groups_capped = true WHERE id = ANY(:ids)"), {"ids": capped})
    return slots


def _count_slots(session: Session, rules: Iterable[Rule]) -> dict[UUID, int]:
    rows = session.execute(
        text(
            f"SELECT rule_id, count(*) FROM {_RULES} JOIN rule_groups USING (rule_id, epoch)"
            f" WHERE {_HAS_SLOT} GROUP BY rule_id"
        ),
        _RULES.values([(rule.id, rule.epoch) for rule in rules]),
    )
    return {row[0]: row[1] for row in rows}


def _save_presences(session: Session, rows: Sequence[tuple[object, ...]]) -> None:
    session.execute(
        text(
            "INSERT INTO rule_groups AS kept (rule_id, epoch, group_key, first_match_at, last_match_at)"
            f" SELECT rule_id, epoch, key, first_at, last_at FROM {_ADMITTED}"
            " ON CONFLICT (rule_id, epoch, group_key) DO UPDATE"
            " SET first_match_at = least(kept.first_match_at, excluded.first_match_at),"
            " last_match_at = greatest(kept.last_match_at, excluded.last_match_at)"
        ),
        _ADMITTED.values(rows),
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


def clear_capped(session: Session) -> None:
    """Record which rules have a free slot again. Rules that another transaction locks are left for the next time."""
    session.execute(
        text(
            "UPDATE rules SET groups_capped = false WHERE id IN (SELECT id FROM rules WHERE groups_capped AND"
            " (SELECT count(*) FROM rule_groups"
            f" WHERE rule_id = rules.id AND epoch = rules.epoch AND {_HAS_SLOT}) < :most"
            " FOR NO KEY UPDATE SKIP LOCKED)"
        ),
        {"most": MAX_GROUPS},
    )
