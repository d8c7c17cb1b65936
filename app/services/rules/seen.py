"""The values that matches of `new_value` rules have carried, kept apart from the logs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.services.rules.conditions.new_value import Seen
from app.services.rules.conditions.new_value import learn as learn_one
from app.services.rules.groups import field_of
from app.services.rules.types import LogVersion, NewValueParams, Rule

Carriers = dict[tuple[UUID, str, str], list[tuple[datetime, str, int]]]


def learn(
    session: Session, asked: Sequence[tuple[Rule, str, Mapping[int, LogVersion]]]
) -> Iterator[tuple[UUID, str, int]]:
    """Take in fresh matches of `new_value` rules.

    Args:    asked: rule, group, and its fresh logs by id; the rules are locked.
    Returns: (rule, group, log) of those that carry a value which is new; a missing value is none.
    """
    rules = {rule.id: rule for rule, _, _ in asked}
    carriers: Carriers = defaultdict(list)
    for rule, key, logs in asked:
        assert isinstance(rule.params, NewValueParams)
        for log in logs.values():
            value = field_of(log, rule.params.field)
            if value is not None:
                carriers[rule.id, key, orjson.dumps(value).decode()].append((log.changed_at, log.sid, log.log_id))
    known = _load(session, carriers, rules)
    fresh: list[tuple[UUID, str, int]] = []
    learnt: dict[tuple[UUID, str, str], Seen] = {}
    for place, found in carriers.items():
        params = rules[place[0]].params
        assert isinstance(params, NewValueParams)
        found.sort()
        learnt[place], novel = learn_one(params, known.get(place), [at for at, _, _ in found])
        fresh += [(place[0], place[1], log_id) for (_, _, log_id), new in zip(found, novel, strict=True) if new]
    save(session, learnt, rules)
    yield from fresh


def _load(session: Session, carriers: Carriers, rules: Mapping[UUID, Rule]) -> dict[tuple[UUID, str, str], Seen]:
    if not carriers:
        return {}
    rows = session.execute(
        text(
            "SELECT seen.rule_id, seen.group_key, seen.value, seen.since_at, seen.last_at FROM"
            " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:keys AS text[]), CAST(:values AS text[]))"
            " AS asked (rule_id, epoch, group_key, value)"
            " JOIN seen_values AS seen USING (rule_id, epoch, group_key, value)"
        ),
        {
            "rules": [place[0] for place in carriers],
            "epochs": [rules[place[0]].epoch for place in carriers],
            "keys": [place[1] for place in carriers],
            "values": [place[2] for place in carriers],
        },
    )
    return {(row[0], row[1], row[2]): Seen(row[3], row[4]) for row in rows}


def save(session: Session, learnt: Mapping[tuple[UUID, str, str], Seen], rules: Mapping[UUID, Rule]) -> None:
    """Write what is known now of these values, by rule, group and value."""
    if not learnt:
        return
    places = sorted(learnt)
    session.execute(
        text(
            "INSERT INTO seen_values (rule_id, epoch, group_key, value, since_at, last_at) SELECT * FROM"
            " unnest(CAST(:rules AS uuid[]), CAST(:epochs AS int[]), CAST(:keys AS text[]), CAST(:values AS text[]),"
            " CAST(:since AS timestamptz[]), CAST(:last AS timestamptz[]))"
            " ON CONFLICT (rule_id, epoch, group_key, value)"
            " DO UPDATE SET since_at = excluded.since_at, last_at = excluded.last_at"
        ),
        {
            "rules": [place[0] for place in places],
            "epochs": [rules[place[0]].epoch for place in places],
            "keys": [place[1] for place in places],
            "values": [place[2] for place in places],
            "since": [learnt[place].since_at for place in places],
            "last": [learnt[place].last_at for place in places],
        },
    )
